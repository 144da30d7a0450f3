#include "server/api/infer.h"

#include <grpcpp/server_context.h>

#include <utility>

#include "server/api/to_grpc_status.h"
#include "server/api/utf8.h"

namespace tao::api {

void InferCaller::Post(gateway::Gateway& gateway, gateway::InferCall call,
                       std::shared_ptr<gateway::InferReceiver> receiver) {
  const std::shared_ptr<gateway::InferStream> stream =
      gateway.PostInfer(std::move(call), std::move(receiver));
  bool ready = false, cancel = false;
  {
    base::MutexLock lock(mutex_);
    stream_ = stream;
    ready = ready_early_;
    cancel = cancel_early_;
  }
  if (ready) stream->ReadyForMore();
  if (cancel) stream->Cancel();
}

void InferCaller::ReadyForMore() {
  std::shared_ptr<gateway::InferStream> stream;
  {
    base::MutexLock lock(mutex_);
    stream = stream_;
    if (stream == nullptr) ready_early_ = true;  // one piece at most comes before it
  }
  if (stream != nullptr) stream->ReadyForMore();
}

void InferCaller::Cancel() {
  std::shared_ptr<gateway::InferStream> stream;
  {
    base::MutexLock lock(mutex_);
    stream = stream_;
    if (stream == nullptr) cancel_early_ = true;
  }
  if (stream != nullptr) stream->Cancel();
}

grpc::ServerUnaryReactor* InferExchangeCall::Begin(const ApiDependencies& dependencies,
                                                   const grpc::CallbackServerContext& context,
                                                   const pb::InferRequest& request,
                                                   pb::InferResponse& response) {
  const std::shared_ptr<InferExchangeCall> call(new InferExchangeCall(response));
  call->self_ = call;
  absl::StatusOr<PreparedInfer> prepared = PrepareInfer(dependencies, context, request);
  if (prepared.ok()) {
    call->applied_ = std::move(prepared->applied);
    call->caller_.Post(*dependencies.gateway, std::move(prepared->call), call);
  } else {
    call->OnEnd(prepared.status());
  }
  return call.get();
}

void InferExchangeCall::OnHead(gateway::InferHead head) {
  response_.set_content_type(ToValidUtf8(std::move(head.content_type)));
  response_.set_job_id(std::move(head.job_id));
  response_.set_network_arch(std::move(head.network_arch));
  response_.set_request_id(std::move(head.request_id));
  response_.mutable_applied()->Assign(applied_.begin(), applied_.end());
  for (std::string& notice : head.notices) response_.add_notices(std::move(notice));
}

void InferExchangeCall::OnData(std::string piece) {
  if (response_.body().empty()) {
    response_.set_body(std::move(piece));
  } else {
    response_.mutable_body()->append(piece);
  }
  caller_.ReadyForMore();
}

void InferExchangeCall::OnEnd(absl::Status status) { Finish(ToGrpcStatus(status)); }

void InferExchangeCall::OnDone() {
  const std::shared_ptr<InferExchangeCall> last = std::move(self_);
}

}  // namespace tao::api
