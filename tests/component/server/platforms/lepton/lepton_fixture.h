#pragma once

// What the tests of lepton share: an HTTP client behind which a workspace answers, as a function.

#include <gmock/gmock.h>
#include <poll.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/platforms/lepton/lepton_platform.h"
#include "server/registry/step.h"

namespace tao::platforms {

constexpr char kJobId[] = "33333333-3333-4333-8333-333333333333";
constexpr char kName[] = "tao-3333333333334333833333333333";
constexpr char kWorkspaceUrl[] = "https://lepton.test/api/v2/workspaces/ws1";

inline std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

// Answers at once, on the caller's thread; what gets no answer ends when its token fires, or with
// its time-out (5 s at most).
class FakeWorkspace : public io::HttpClient {
 public:
  // "GET /workspace" -> status and body; nullopt: no answer. An error is one of the transport.
  using Answer = std::function<std::optional<absl::StatusOr<io::HttpResponse>>(
      const std::string& call, const io::HttpRequest& request)>;

  explicit FakeWorkspace(Answer answer) : answer_(std::move(answer)) {}
  ~FakeWorkspace() override {
    for (std::thread& thread : hanging_) thread.join();
  }

  void Fetch(io::HttpRequest request, Done done) override {
    std::string path = request.url;
    EXPECT_TRUE(path.starts_with(kWorkspaceUrl)) << path;
    path.erase(0, sizeof(kWorkspaceUrl) - 1);
    const std::string call = request.method + " " + path;
    calls.push_back(call);
    requests.push_back(request);
    auto answer = answer_(call, request);
    if (answer.has_value()) return done(*std::move(answer));
    const int limit_ms =
        static_cast<int>(absl::ToInt64Milliseconds(std::min(request.timeout, absl::Seconds(5))));
    hanging_.emplace_back([cancel = request.cancel, limit_ms, done = std::move(done)]() mutable {
      pollfd waiting{.fd = cancel == nullptr ? -1 : cancel->fd(), .events = POLLIN, .revents = 0};
      const bool cancelled = poll(&waiting, 1, limit_ms) == 1;
      done(cancelled ? absl::CancelledError("cancelled")
                     : absl::DeadlineExceededError("no answer"));
    });
  }

  int Count(const std::string& call) const {
    return static_cast<int>(std::count(calls.begin(), calls.end(), call));
  }

  std::vector<std::string> calls;
  std::vector<io::HttpRequest> requests;

 private:
  const Answer answer_;
  std::vector<std::thread> hanging_;
};

inline std::optional<absl::StatusOr<io::HttpResponse>> Say(int status, std::string body = "{}") {
  return io::HttpResponse{.status = status, .body = std::move(body), .retry_after = ""};
}
inline std::optional<absl::StatusOr<io::HttpResponse>> Fail(absl::StatusCode code) {
  return absl::StatusOr<io::HttpResponse>(absl::Status(code, "of the transport"));
}

inline LeptonConfig Config() {
  LeptonConfig config;
  config.environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "LEPTON_WORKSPACE_ID") return "ws1";
    if (name == "LEPTON_AUTH_TOKEN") return "token-of-the-user";
    if (name == "LEPTON_API_BASE_URL") return "https://lepton.test";
    if (name == "HF_TOKEN") return "hf-token-value";
    return std::nullopt;
  };
  config.retry = {.first = absl::Milliseconds(1), .longest = absl::Milliseconds(2)};
  config.poll = config.retry;
  config.log_silence = absl::Milliseconds(50);
  config.look_timeout = absl::Milliseconds(100);
  config.delete_timeout = absl::Seconds(5);
  return config;
}

// Both sessions; keeps what the driver asks for, in order.
class Session : public LaunchSession, public StopSession {
 public:
  absl::Status BeginStep(registry::Step step) override {
    calls.push_back("begin " + std::string(registry::ToString(step)));
    return absl::OkStatus();
  }
  absl::Status EndStep(registry::Step step) override {
    calls.push_back("end " + std::string(registry::ToString(step)));
    return absl::OkStatus();
  }
  absl::Status SaveDriverState(const std::map<std::string, std::string>& state) override {
    calls.push_back("save");
    saved = state;
    return absl::OkStatus();
  }
  std::map<std::string, std::string> SavedDriverState() const override { return saved; }
  void ReportProgress(const registry::Progress&) override {}
  void ReportPending(std::string_view reason, std::string_view message) override {
    pending.emplace_back(reason, message);
    if (on_pending) on_pending();
  }
  int host_port() const override { return 0; }
  absl::StatusOr<int> NextPort() override { return absl::InternalError("takes no port"); }
  absl::StatusOr<int> InstancePort(const std::string&, bool) override {
    return absl::InternalError("not an instance");
  }
  const std::vector<std::string>& gpu_ids() const override { return gpus; }
  const base::CancelToken& cancel() const override { return token; }

  std::vector<std::string> calls, gpus;
  std::map<std::string, std::string> saved;
  std::vector<std::pair<std::string, std::string>> pending;
  std::function<void()> on_pending;
  base::CancelToken token;
};

}  // namespace tao::platforms
