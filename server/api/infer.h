#pragma once

// One Infer call: the whole answer in one message.

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>

#include "gateway/gateway.h"
#include "server/api/dependencies.h"
#include "server/api/infer_call.h"
#include "server/base/mutex.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

// The caller's side of an exchange: the way to it once there is one (the receiver may hear of it
// before PostInfer has returned). Thread-safe.
class InferCaller {
 public:
  // Once.
  void Post(gateway::Gateway& gateway, gateway::InferCall call,
            std::shared_ptr<gateway::InferReceiver> receiver);
  void ReadyForMore();
  void Cancel();

 private:
  base::Mutex mutex_;
  std::shared_ptr<gateway::InferStream> stream_ ABSL_GUARDED_BY(mutex_);
  bool ready_early_ ABSL_GUARDED_BY(mutex_) = false;  // asked before stream_ was there
  bool cancel_early_ ABSL_GUARDED_BY(mutex_) = false;
};

// Finishes when the exchange ends, also when the caller has left: a cancelled exchange ends soon.
class InferExchangeCall : public grpc::ServerUnaryReactor,
                          public gateway::InferReceiver,
                          public std::enable_shared_from_this<InferExchangeCall> {
 public:
  // Frees itself.
  static grpc::ServerUnaryReactor* Begin(const ApiDependencies& dependencies,
                                         const grpc::CallbackServerContext& context,
                                         const pb::InferRequest& request,
                                         pb::InferResponse& response);

  void OnHead(gateway::InferHead head) override;
  void OnData(std::string piece) override;
  void OnEnd(absl::Status status) override;
  void OnCancel() override { caller_.Cancel(); }
  void OnDone() override;

 private:
  explicit InferExchangeCall(pb::InferResponse& response) : response_(response) {}

  InferCaller caller_;
  std::vector<pb::SamplingValue> applied_;
  pb::InferResponse& response_;              // the worker's thread alone, until Finish
  std::shared_ptr<InferExchangeCall> self_;  // until OnDone
};

}  // namespace tao::api
