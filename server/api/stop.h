#pragma once

// One Stop call: asks the lifecycle on a pool thread; with `wait` it stays open until the service
// is STOPPED or the caller gives up, without holding a thread.

#include <absl/status/status.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>

#include "server/api/dependencies.h"
#include "server/base/mutex.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

// Thread-safe. Lives until OnDone, and as long as somebody else holds it.
class StopCall : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<StopCall> {
 public:
  // `request` and `response` are gRPC's: alive until OnDone.
  static std::shared_ptr<StopCall> Create(const ApiDependencies& dependencies,
                                          const std::string& gateway_base_url,
                                          const pb::StopRequest& request,
                                          pb::StopResponse& response);

  // Blocks for the journal. Once; or Fail instead.
  void Run();
  void Fail(const absl::Status& status);

  void OnCancel() override;
  void OnDone() override;

 private:
  StopCall(const ApiDependencies& dependencies, const std::string& gateway_base_url,
           const pb::StopRequest& request, pb::StopResponse& response);

  void OnNews();
  // The first one counts.
  void FinishOnce(const absl::Status& status, const registry::ServiceRecord* record);

  const ApiDependencies& dependencies_;
  const std::string& gateway_base_url_;
  const pb::StopRequest request_;
  pb::StopResponse& response_;

  base::Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<readiness::Subscription> subscription_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<StopCall> self_;  // until OnDone
};

}  // namespace tao::api
