#pragma once

// What a request's path and query say about where it wants to go. There is one reading of the
// bytes: what two readers could take differently (dot segments, broken escapes, encoded controls)
// is refused.

#include "gateway/http/head.h"
#include "gateway/http/message_error.h"

#include <optional>
#include <string>
#include <string_view>

namespace tao::http {

// Views into the request's buffer and into the scratch string, which must not be touched while they
// are used.
struct RouteTarget {
  // Selectors of the path: /services/{job_id}/... or /archs/{network_arch}/...; decoded, never
  // empty.
  std::optional<std::string_view> path_job_id;
  std::optional<std::string_view> path_network_arch;
  // Selectors of the query: job_id=, network_arch=; decoded, never empty.
  std::optional<std::string_view> query_job_id;
  std::optional<std::string_view> query_network_arch;
  // The path behind the routing prefix as it was sent: what the backend is asked for. "/" when
  // nothing follows the prefix.
  std::string_view path;
  // `path` in the normal form of RFC 3986 section 6.2.2: compare endpoints with this one. Escapes
  // of unreserved characters are decoded ("/%761/models" is "/v1/models"), all others are kept in
  // upper case, so that an encoded slash never becomes a separator; empty segments are kept.
  std::string_view normal_path;
};

// Reads head.path and head.query. `scratch` keeps decoded text; it is cleared first, and may be
// reused for the next request. 400: a broken escape, a dot segment (plain, encoded, or behind an
// encoded slash or backslash), an encoded control byte in the path or in a selector, an empty
// selector, a selector given twice. The asterisk form gives "*" for both paths.
MessageError ParseRouteTarget(const RequestHead& head, std::string* scratch, RouteTarget* target);

// Decodes every escape of `text`, appended to `out`: for a segment of normal_path that is data (the
// id of /v1/models/{id}). False, and `out` as it was, for a broken escape or a control byte.
bool PercentDecode(std::string_view text, std::string* out);

}  // namespace tao::http
