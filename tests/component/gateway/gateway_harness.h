#pragma once

// A Gateway on a free port, with services that fakes answer for.

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "server/base/log.h"
#include "server/base/mutex.h"
#include "server/routing/route_table.h"
#include "tests/fakes/fake_upstream.h"

namespace tao::gateway {

inline constexpr std::string_view kJob = "11111111-1111-4111-8111-111111111111";
inline constexpr std::string_view kOtherJob = "22222222-2222-4222-8222-222222222222";
inline constexpr std::string_view kArch = "cosmos-rl";
inline const std::string kCompletion =
    R"({"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"/m","choices":[{"index":0,)"
    R"("message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]})";

// A service that answers on loopback.
inline routing::Service ServiceAt(uint16_t port, std::string_view job_id = kJob,
                                  std::string_view arch = kArch) {
  routing::Service service;
  service.job_id = std::string(job_id);
  service.network_arch = std::string(arch);
  service.platform = "local-process";
  service.phase = routing::Phase::kReady;
  service.backend.host = "127.0.0.1";
  service.backend.port = port;
  service.backend.authority = "127.0.0.1:" + std::to_string(port);
  service.host_url = "http://localhost:" + std::to_string(port);
  service.started_at = absl::FromUnixSeconds(1700000000);
  return service;
}

// A request in one piece.
inline std::string Post(const std::string& body, const std::string& fields = "",
                        const std::string& path = "/v1/chat/completions") {
  return "POST " + path + " HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline std::string Get(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: g\r\n" + fields + "\r\n";
}
inline std::string Body(std::string_view model, const std::string& more = "") {
  return R"({"messages":[],"model":")" + std::string(model) + "\"" + more + "}";
}
inline std::string HeaderFor(std::string_view job_id) {
  return "X-TAO-Job-ID: " + std::string(job_id) + "\r\n";
}

// An answer of a backend, as Flask gives it.
inline std::string FlaskAnswer(const std::string& body, const std::string& status = "200 OK",
                               const std::string& type = "application/json") {
  return "HTTP/1.0 " + status + "\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nServer: Werkzeug/2.0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
         "Connection: close\r\n\r\n" +
         body;
}
// A script that reads one request and answers it with exact bytes.
inline FakeUpstream::Script Answers(const std::string& bytes) {
  return [bytes](FakeUpstream::Peer& peer) {
    if (peer.ReadRequest().whole) peer.Write(bytes);
  };
}

// Remembers whose failures were reported.
class RecordingFailures : public routing::FailureListener {
 public:
  void OnExchangeFailed(std::string_view job_id) override {
    base::MutexLock lock(mutex_);
    job_ids_.emplace_back(job_id);
  }
  std::vector<std::string> job_ids() const {
    base::MutexLock lock(mutex_);
    return job_ids_;
  }

 private:
  mutable base::Mutex mutex_;
  std::vector<std::string> job_ids_ ABSL_GUARDED_BY(mutex_);
};

class GatewayHarness {
 public:
  // Two workers, so that whatever passes between them does.
  static GatewayConfig Config() {
    GatewayConfig config;
    config.listen = "127.0.0.1:0";
    config.workers = 2;
    return config;
  }

  explicit GatewayHarness(std::vector<routing::Service> services, GatewayConfig config = Config()) {
    static const bool quiet = [] {
      base::ConfigureLog(base::LogLevel::kError, base::LogFormat::kText);
      return true;
    }();
    static_cast<void>(quiet);
    absl::StatusOr<std::unique_ptr<Gateway>> started = Gateway::Start(config, &failures);
    if (!started.ok()) std::abort();
    gateway = *std::move(started);
    Publish(std::move(services));
  }

  // Returns once every worker routes by it.
  void Publish(std::vector<routing::Service> services) {
    gateway->Publish(routing::RouteTable::Build(std::move(services)));
    while (gateway->InFlight("nobody") > 0) std::this_thread::yield();
  }

  // Until so many requests wait for their services; false after 5 s.
  bool WaitForHeld(size_t count) const {
    const absl::Time limit = absl::Now() + kTestLimit;
    while (gateway->load().held.load() != count) {
      if (absl::Now() > limit) return false;
      std::this_thread::yield();
    }
    return true;
  }

  RawSocket Connect() const { return RawSocket::Connect(gateway->port()); }

  // One request over a connection of its own.
  RawMessage Ask(const std::string& request) const {
    RawSocket client = Connect();
    client.Write(request);
    return client.ReadMessage();
  }

  RecordingFailures failures;
  std::unique_ptr<Gateway> gateway;
};

}  // namespace tao::gateway
