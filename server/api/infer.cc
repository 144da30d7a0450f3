#include "server/api/infer.h"

#include <absl/time/clock.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/api/from_proto.h"
#include "server/api/to_grpc_status.h"
#include "server/api/utf8.h"

namespace tao::api {
namespace {

absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
  return std::max(absl::FromChrono(deadline) - absl::Now(), absl::ZeroDuration());
}

}  // namespace

void InferCaller::Post(gateway::Gateway& gateway, const grpc::CallbackServerContext& context,
                       const pb::InferRequest& request,
                       std::shared_ptr<gateway::InferReceiver> receiver) {
  // The message is gRPC's own, not a constant; after this nobody reads its body.
  std::string body = std::move(*const_cast<pb::InferRequest&>(request).mutable_body());
  gateway::InferCall call{.selector = ToSelector(request.selector()),
                          .body = std::move(body),
                          .time_left = TimeLeft(context)};
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

grpc::ServerUnaryReactor* InferExchangeCall::Begin(gateway::Gateway& gateway,
                                                   const grpc::CallbackServerContext& context,
                                                   const pb::InferRequest& request,
                                                   pb::InferResponse& response) {
  const std::shared_ptr<InferExchangeCall> call(new InferExchangeCall(response));
  call->self_ = call;
  call->caller_.Post(gateway, context, request, call);
  return call.get();
}

void InferExchangeCall::OnHead(gateway::InferHead head) {
  response_.set_content_type(ToValidUtf8(std::move(head.content_type)));
  response_.set_job_id(std::move(head.job_id));
  response_.set_network_arch(std::move(head.network_arch));
  response_.set_request_id(std::move(head.request_id));
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
