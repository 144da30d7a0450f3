#pragma once

// What an InferRequest asks the gateway for. Thread-safe; does not block.

#include <absl/status/statusor.h>
#include <grpcpp/server_context.h>

#include <vector>

#include "gateway/infer.h"
#include "server/api/dependencies.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

struct PreparedInfer {
  gateway::InferCall call;
  std::vector<pb::SamplingValue> applied;  // of a typed request
};

// Takes the body, or the media, out of `request`, which is gRPC's: they have up to 256 MiB. A typed
// request is bound to the service that it means now, since its fields depend on the arch. Errors:
// those of routing::Resolve and of WriteChatBody, both of typed requests only.
absl::StatusOr<PreparedInfer> PrepareInfer(const ApiDependencies& dependencies,
                                           const grpc::CallbackServerContext& context,
                                           const pb::InferRequest& request);

}  // namespace tao::api
