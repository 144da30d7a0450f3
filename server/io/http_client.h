#pragma once

// Outgoing HTTP of the control plane (probes, platform APIs), on libcurl. The gateway has its own
// upstream code. The environment's proxies are never used. Thread-safe.

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tao::io {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  absl::Duration timeout = absl::Seconds(30);  // connect to the last byte
  size_t max_body_bytes = 1 << 20;             // of the answer; what is beyond is dropped
};

struct HttpResponse {
  int status = 0;
  std::string body;
};

class HttpClient {
 public:
  // Called once, on the client's own thread: must not block. Unavailable: no connection, reset.
  // DeadlineExceeded: the timeout. Cancelled: the client is being destroyed.
  using Done = absl::AnyInvocable<void(absl::StatusOr<HttpResponse>)>;

  virtual ~HttpClient() = default;
  virtual void Fetch(HttpRequest request, Done done) = 0;
};

// One thread with one curl multi handle, connections kept. Destroying it ends what is in flight.
std::unique_ptr<HttpClient> NewCurlHttpClient();

}  // namespace tao::io
