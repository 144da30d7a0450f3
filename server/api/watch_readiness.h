#pragma once

// One WatchReadiness call.

#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <string>

#include "server/api/dependencies.h"
#include "server/api/server_drain.h"
#include "server/base/mutex.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

// Whether a watcher who was told of `record` is told nothing more. A FAILED service has something
// to say until its last log lines are saved: they are what its watcher needs next.
bool IsLastEvent(const registry::ServiceRecord& record, bool until_ready);

// Thread-safe. Lives until OnDone, and as long as a callback holds it. While a message is being
// written, changes only replace each other in the subscription: a slow reader costs no memory.
class ReadinessStream : public grpc::ServerWriteReactor<pb::ReadinessEvent>,
                        public DrainListener,
                        public std::enable_shared_from_this<ReadinessStream> {
 public:
  // Frees itself.
  static grpc::ServerWriteReactor<pb::ReadinessEvent>* Begin(
      const ApiDependencies& dependencies, const std::string& gateway_base_url, ServerDrain& drain,
      const grpc::CallbackServerContext& context, const pb::WatchReadinessRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void OnServerDrain() override;

 private:
  ReadinessStream(const std::string& gateway_base_url, bool until_ready,
                  const grpc::CallbackServerContext& context)
      : DrainListener(context), gateway_base_url_(gateway_base_url), until_ready_(until_ready) {}

  void Subscribe(const ApiDependencies& dependencies, const std::string& job_id);
  // Writes the newest state, or finishes, whichever is due and possible now.
  void Pump();

  const std::string& gateway_base_url_;
  const bool until_ready_;

  base::Mutex mutex_;
  std::shared_ptr<readiness::Subscription> subscription_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);  // finish with it as soon as possible
  pb::ReadinessEvent event_;                                 // whoever set writing_ fills it
  std::string sent_ ABSL_GUARDED_BY(mutex_);  // the last event: the same is not sent twice
  std::shared_ptr<ReadinessStream> self_;     // until OnDone
};

}  // namespace tao::api
