#pragma once

// One StreamInfer call: the answer in pieces, each sent before the next is asked for.

#include <absl/status/status.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <string>

#include "gateway/gateway.h"
#include "server/api/infer.h"
#include "server/base/mutex.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

// Thread-safe. Finishes when the exchange has ended and everything is written; a caller that leaves
// cancels the exchange, which ends it soon. At most two pieces are held: one being written, one
// waiting.
class InferAnswerStream : public grpc::ServerWriteReactor<pb::StreamInferResponse>,
                          public gateway::InferReceiver,
                          public std::enable_shared_from_this<InferAnswerStream> {
 public:
  // Frees itself.
  static grpc::ServerWriteReactor<pb::StreamInferResponse>* Begin(
      const ApiDependencies& dependencies, const grpc::CallbackServerContext& context,
      const pb::InferRequest& request);

  void OnHead(gateway::InferHead head) override;
  void OnData(std::string piece) override;
  void OnEnd(absl::Status status) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { caller_.Cancel(); }
  void OnDone() override;

 private:
  // Writes what waits, or finishes, whichever is due and possible now.
  void Pump();

  InferCaller caller_;
  std::vector<pb::SamplingValue> applied_;  // goes with the head
  base::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<gateway::InferHead> head_ ABSL_GUARDED_BY(mutex_);  // not sent yet
  std::optional<std::string> piece_ ABSL_GUARDED_BY(mutex_);        // not sent yet
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  pb::StreamInferResponse message_;          // whoever set writing_ fills it
  std::shared_ptr<InferAnswerStream> self_;  // until OnDone
};

}  // namespace tao::api
