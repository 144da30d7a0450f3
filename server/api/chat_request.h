#pragma once

// A typed chat completion as the JSON body that a service takes. Pure; thread-safe.
//
// Only what the type itself leaves open is checked here: that something stands where something is
// needed, and that each sampling value is chosen by somebody. Whether the arch takes it (types,
// ranges, media, roles) is the contract's to say, on the body, as for any other request.

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "gateway/infer_body.h"
#include "server/catalog/catalog.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

struct ChatBody {
  gateway::InferBody json;
  std::vector<pb::SamplingValue> applied;  // what the body says, defaults included
};

// The body of `chat` for a service of `network_arch`; takes the media out of it. An arch that the
// catalog does not know has no schema: what is set is sent. InvalidArgument, reason
// INVALID_CHAT_REQUEST: every wrong or missing field at once.
absl::StatusOr<ChatBody> WriteChatBody(pb::ChatRequest& chat, const std::string& network_arch,
                                       const catalog::Catalog& catalog);

}  // namespace tao::api
