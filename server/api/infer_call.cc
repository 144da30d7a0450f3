#include "server/api/infer_call.h"

#include <absl/time/clock.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "server/api/chat_request.h"
#include "server/api/from_proto.h"
#include "server/base/status.h"
#include "server/routing/resolver.h"

namespace tao::api {
namespace {

using Kind = routing::SelectorTerm::Kind;

absl::Duration TimeLeft(const grpc::CallbackServerContext& context) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteDuration();
  return std::max(absl::FromChrono(deadline) - absl::Now(), absl::ZeroDuration());
}

absl::StatusOr<PreparedInfer> PrepareChat(const ApiDependencies& dependencies,
                                          routing::Selector selector, pb::ChatRequest& chat) {
  if (!chat.model().empty()) selector.terms.push_back({Kind::kModel, chat.model(), "model"});
  const std::shared_ptr<const routing::RouteTable> table = dependencies.route_table();
  ASSIGN_OR_RETURN(const routing::Service* const service, routing::Resolve(*table, selector));
  ASSIGN_OR_RETURN(ChatBody body,
                   WriteChatBody(chat, service->network_arch, *dependencies.catalog));
  PreparedInfer prepared;
  prepared.call.selector.terms.push_back({Kind::kJobId, service->job_id, "selector"});
  prepared.call.body = std::move(body.json);
  prepared.applied = std::move(body.applied);
  return prepared;
}

}  // namespace

absl::StatusOr<PreparedInfer> PrepareInfer(const ApiDependencies& dependencies,
                                           const grpc::CallbackServerContext& context,
                                           const pb::InferRequest& request) {
  // The message is gRPC's own, not a constant; after this nobody reads its body.
  auto& taken = const_cast<pb::InferRequest&>(request);
  PreparedInfer prepared;
  if (request.has_chat()) {
    ASSIGN_OR_RETURN(
        prepared, PrepareChat(dependencies, ToSelector(request.selector()), *taken.mutable_chat()));
  } else {
    prepared.call.selector = ToSelector(request.selector());
    prepared.call.body = std::move(*taken.mutable_body());
  }
  prepared.call.strict = request.strict();
  prepared.call.time_left = TimeLeft(context);
  return prepared;
}

}  // namespace tao::api
