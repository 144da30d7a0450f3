#pragma once

// What a request head means to the gateway: which endpoint, which selectors, which fields go on.
// Pure; externally synchronised.

#include <absl/status/status.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "gateway/http/head.h"
#include "gateway/http/hop_by_hop.h"
#include "gateway/http/route_target.h"
#include "server/routing/selector.h"

namespace tao::gateway {

enum class Endpoint {
  kNone,
  kAsterisk,  // OPTIONS *
  kLivez,     // /livez
  kReadyz,    // /readyz
  kModels,    // /v1/models, also behind a routing prefix
  kModel,     // /v1/models/{id}, likewise
  kSchema,    // /schema behind a routing prefix
  kChat,      // /v1/chat/completions, likewise; the last one
};
inline constexpr size_t kEndpoints = static_cast<size_t>(Endpoint::kChat) + 1;

// The methods of an endpoint, as Allow lists them.
std::string_view AllowedMethods(Endpoint endpoint);
bool Allows(Endpoint endpoint, http::Method method);

// Views into the head that it was read from, and into itself: do not move it.
struct Request {
  Endpoint endpoint = Endpoint::kNone;
  std::string_view model_id;  // of kModel: still percent-encoded, may hold slashes
  routing::Selector selector;
  http::RouteTarget target;
  http::Forwarding forwarding;
  bool expects_continue = false;
  bool strict = false;  // X-TAO-Strict: true
  std::string scratch;
};

// Errors (HttpError): the head says something that cannot be meant, or could be read in two ways;
// the connection must be closed.
absl::Status ReadRequest(const http::RequestHead& head, Request* request);

// The client's X-Request-Id, if it may be repeated in heads, logs and ids; else empty.
std::string_view UsableRequestId(const http::FieldList& fields);

// Whether the Content-Type and Content-Encoding are those of a chat completion:
// unsupported_media_type.
absl::Status CheckMediaType(const http::FieldList& fields);

}  // namespace tao::gateway
