#pragma once

// Outgoing HTTP of the control plane (probes, platform APIs), on libcurl. The gateway has its own
// upstream code. The environment's proxies are never used, redirects are never followed.
// Thread-safe.

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/base/cancel.h"

namespace tao::io {

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // http:// or https://; shown in errors, so a credential goes into `headers`
  std::vector<std::pair<std::string, std::string>> headers;
  // HOST:PORT (IPv6 in brackets) that is dialled instead of the URL's, which still says whose
  // certificate it must be; empty: the URL's own.
  std::string connect_to;
  std::string body;
  absl::Duration timeout = absl::Seconds(30);  // connect to the last byte; must be above zero
  // Of the answer. When there is more, the first max_body_bytes are given and the connection is
  // closed.
  size_t max_body_bytes = 1 << 20;
  // When set, the body of a 2xx answer goes here as it comes, and not into HttpResponse::body; its
  // length has no limit. On the client's own thread: must not block. False ends the answer there.
  std::function<bool(std::string_view)> on_body;
  const base::CancelToken* cancel = nullptr;  // outlives the call of Done; may be null
};

struct HttpResponse {
  int status = 0;
  std::string body;
  std::string retry_after;  // the field of that name; empty: none
};

class HttpClient {
 public:
  // Called exactly once, on the client's own thread: must not block, and may call Fetch.
  // Unavailable: no connection, reset, not HTTP. DeadlineExceeded: the timeout. InvalidArgument:
  // the request is not one that can be sent. Cancelled: `cancel` fired, or the client is being
  // destroyed.
  using Done = absl::AnyInvocable<void(absl::StatusOr<HttpResponse>)>;

  virtual ~HttpClient() = default;
  virtual void Fetch(HttpRequest request, Done done) = 0;
};

struct HttpClientOptions {
  std::string ca_file;  // PEM; certificates of these CAs are accepted too, beside the system's
};

// One thread with one curl multi handle, connections kept. Destroying it (not from a Done) ends
// what is in flight, after which no Done is called any more.
std::unique_ptr<HttpClient> NewCurlHttpClient(HttpClientOptions options = {});

}  // namespace tao::io
