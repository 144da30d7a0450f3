#include "server/api/inference_api.h"

#include <absl/strings/str_format.h>

#include <utility>

#include "server/api/from_proto.h"
#include "server/api/infer.h"
#include "server/api/list_page.h"
#include "server/api/request_schema.h"
#include "server/api/stop.h"
#include "server/api/stream_infer.h"
#include "server/api/to_grpc_status.h"
#include "server/api/to_proto.h"
#include "server/api/watch_readiness.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/routing/resolver.h"

namespace tao::api {
namespace {

// A Start blocks for the platform's preflight, a Stop for the journal.
constexpr int kThreads = 8;
constexpr size_t kMaxQueued = 256;

absl::Status TooBusy() {
  return base::TokenError(
      base::ErrorToken::kOverflow,
      absl::StrFormat("%d Start, Stop and CheckPlatform calls wait already; try again in a "
                      "moment",
                      kMaxQueued));
}

}  // namespace

InferenceApi::InferenceApi(std::string gateway_base_url, const ApiDependencies& dependencies,
                           ServerDrain& drain)
    : gateway_base_url_(std::move(gateway_base_url)),
      dependencies_(dependencies),
      drain_(drain),
      pool_(kThreads, kMaxQueued) {}

grpc::ServerUnaryReactor* InferenceApi::Start(grpc::CallbackServerContext* context,
                                              const pb::StartRequest* request,
                                              pb::StartResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::StatusOr<launch::LaunchRequest> launch = ToLaunchRequest(*request);
  if (!launch.ok()) {
    reactor->Finish(ToGrpcStatus(launch.status()));
    return reactor;
  }
  // A caller that leaves meanwhile does not undo the start; request_id finds it again.
  const bool posted = pool_.TryPost([this, reactor, response, launch = *std::move(launch)] {
    const absl::StatusOr<registry::ServiceRecord> accepted = dependencies_.lifecycle->Start(launch);
    if (accepted.ok()) *response->mutable_service() = ToProto(*accepted, gateway_base_url_);
    reactor->Finish(ToGrpcStatus(accepted.status()));
  });
  if (!posted) reactor->Finish(ToGrpcStatus(TooBusy()));
  return reactor;
}

grpc::ServerUnaryReactor* InferenceApi::Stop(grpc::CallbackServerContext* /*context*/,
                                             const pb::StopRequest* request,
                                             pb::StopResponse* response) {
  const std::shared_ptr<StopCall> call =
      StopCall::Create(dependencies_, gateway_base_url_, *request, *response);
  if (!pool_.TryPost([call] { call->Run(); })) call->Fail(TooBusy());
  return call.get();
}

grpc::ServerUnaryReactor* InferenceApi::List(grpc::CallbackServerContext* context,
                                             const pb::ListRequest* request,
                                             pb::ListResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::StatusOr<pb::ListResponse> page =
      ListPage(*request, dependencies_.registry->List(), gateway_base_url_);
  if (page.ok()) *response = *std::move(page);
  reactor->Finish(ToGrpcStatus(page.status()));
  return reactor;
}

grpc::ServerUnaryReactor* InferenceApi::Resolve(grpc::CallbackServerContext* context,
                                                const pb::ResolveRequest* request,
                                                pb::ResolveResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(DoResolve(*request, *response)));
  return reactor;
}

absl::Status InferenceApi::DoResolve(const pb::ResolveRequest& request,
                                     pb::ResolveResponse& response) const {
  routing::Selector selector = ToSelector(request.selector());
  if (!request.model().empty()) {
    selector.terms.push_back({routing::SelectorTerm::Kind::kModel, request.model(), "model"});
  }
  const std::shared_ptr<const routing::RouteTable> table = dependencies_.route_table();
  ASSIGN_OR_RETURN(const routing::Service* const service, routing::Resolve(*table, selector));
  const std::optional<registry::ServiceRecord> record =
      dependencies_.registry->Find(service->job_id);
  if (!record.has_value()) {  // the table is a moment old
    return base::TokenError(base::ErrorToken::kServiceNotFound,
                            absl::StrFormat("service %s has just been stopped", service->job_id));
  }
  *response.mutable_service() = ToProto(*record, gateway_base_url_);
  return absl::OkStatus();
}

grpc::ServerWriteReactor<pb::ReadinessEvent>* InferenceApi::WatchReadiness(
    grpc::CallbackServerContext* context, const pb::WatchReadinessRequest* request) {
  return ReadinessStream::Begin(dependencies_, gateway_base_url_, drain_, *context, *request);
}

grpc::ServerUnaryReactor* InferenceApi::GetRequestSchema(grpc::CallbackServerContext* context,
                                                         const pb::GetRequestSchemaRequest* request,
                                                         pb::GetRequestSchemaResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::StatusOr<pb::GetRequestSchemaResponse> schema =
      api::GetRequestSchema(*request, *dependencies_.catalog, *dependencies_.route_table());
  if (schema.ok()) *response = *std::move(schema);
  reactor->Finish(ToGrpcStatus(schema.status()));
  return reactor;
}

grpc::ServerUnaryReactor* InferenceApi::Infer(grpc::CallbackServerContext* context,
                                              const pb::InferRequest* request,
                                              pb::InferResponse* response) {
  return InferExchangeCall::Begin(dependencies_, *context, *request, *response);
}

grpc::ServerWriteReactor<pb::StreamInferResponse>* InferenceApi::StreamInfer(
    grpc::CallbackServerContext* context, const pb::InferRequest* request) {
  return InferAnswerStream::Begin(dependencies_, *context, *request);
}

grpc::ServerWriteReactor<pb::LogChunk>* InferenceApi::StreamLogs(
    grpc::CallbackServerContext* context, const pb::StreamLogsRequest* request) {
  return log_streams_.Begin(*dependencies_.lifecycle, drain_, *context, *request);
}

grpc::ServerUnaryReactor* InferenceApi::CheckPlatform(grpc::CallbackServerContext* context,
                                                      const pb::CheckPlatformRequest* request,
                                                      pb::CheckPlatformResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  absl::StatusOr<launch::LaunchRequest> launch = ToLaunchRequest(*request);
  if (!launch.ok()) {
    reactor->Finish(ToGrpcStatus(launch.status()));
    return reactor;
  }
  const bool posted = pool_.TryPost([this, reactor, response, launch = *std::move(launch)] {
    const auto checked = dependencies_.lifecycle->CheckPlatform(launch);
    if (checked.ok()) *response = ToProto(*checked);
    reactor->Finish(ToGrpcStatus(checked.status()));
  });
  if (!posted) reactor->Finish(ToGrpcStatus(TooBusy()));
  return reactor;
}

}  // namespace tao::api
