#pragma once

// The head of a request as the backend gets it. Pure; thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/http/head.h"
#include "server/routing/route_table.h"

namespace tao::upstream {

// Our name in Via and Proxy-Status.
inline constexpr std::string_view kPseudonym = "tao-inference";

// A request on its way to a backend. Views into the client's request.
struct ForwardedRequest {
  std::string_view path;  // behind the routing prefix, as it was sent
  std::optional<std::string_view> query;
  // The client's fields that are passed on; null for a request that did not come over HTTP.
  const http::FieldList* fields = nullptr;
  http::FieldMask kept;
  http::Version received = http::Version::kHttp11;
  // Sent as X-Request-Id. vLLM uses it as the key of the running request: it must be unique among
  // those in flight.
  std::string_view request_id;
};

// Appends the head of a POST to `out`: the fields that are passed on, byte for byte and in their
// order; the backend's own Host, and its credential in the place of the client's; the length, or
// chunked when it is not known. False, with nothing appended, when the backend's values do not fit
// into a head.
bool AppendRequestHead(std::string& out, const ForwardedRequest& request,
                       const routing::Backend& backend, std::optional<uint64_t> length);

}  // namespace tao::upstream
