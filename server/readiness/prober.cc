#include "server/readiness/prober.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <deque>
#include <string>
#include <thread>
#include <utility>

#include "server/base/log.h"
#include "server/base/strings.h"
#include "server/readiness/probe_parse.h"

namespace tao::readiness {
namespace {

constexpr std::string_view kReadinessPath = "/api/v1/health/readiness";
constexpr std::string_view kLivenessPath = "/api/v1/health/liveness";
constexpr size_t kMaxBodyBytes = 64 << 10;  // a liveness answer has about 1 KiB

io::HttpRequest ProbeRequest(const routing::Backend& backend, std::string_view path,
                             absl::Duration timeout) {
  const bool bare_ipv6 = backend.host.find(':') != std::string::npos && backend.host[0] != '[';
  io::HttpRequest request{.timeout = timeout, .max_body_bytes = kMaxBodyBytes};
  const std::string dialled = absl::StrFormat("%s%s%s:%d", bare_ipv6 ? "[" : "", backend.host,
                                              bare_ipv6 ? "]" : "", backend.port);
  if (backend.scheme == "https" && !backend.authority.empty()) {
    // The certificate is held to the URL's host.
    request.url = "https://" + backend.authority + backend.base_path + std::string(path);
    request.connect_to = dialled;
  } else {
    request.url = backend.scheme + "://" + dialled + backend.base_path + std::string(path);
    if (!backend.authority.empty()) request.headers.emplace_back("Host", backend.authority);
  }
  if (!backend.credential.empty()) {
    request.headers.emplace_back("Authorization", backend.credential.Reveal());
  }
  return request;
}

// One probe on its way. Whoever works on it has it alone: the loop's thread, then the HTTP
// client's, then the loop's again, at last the pool's.
struct Probe {
  std::shared_ptr<const registry::ServiceRecord> record;
  bool ask_platform = true;
  routing::Backend backend;
  absl::Duration deadline;  // Clock::Monotonic
  bool liveness_asked = false;
  std::optional<io::HttpResponse> readiness, liveness;
};

}  // namespace

class Prober::Loop : public std::enable_shared_from_this<Loop> {
 public:
  Loop(const ProberConfig& config, io::HttpClient& http, base::WorkPool& pool,
       const base::Clock& clock, ObservePlatform observe, BackendOf backend_of,
       ProbeListener& listener)
      : config_(config),
        http_(http),
        pool_(pool),
        clock_(clock),
        observe_(std::move(observe)),
        backend_of_(std::move(backend_of)),
        listener_(listener),
        schedule_(config) {}

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }

  void Stop() {
    {
      base::MutexLock lock(mutex_);
      stopped_ = true;
    }
    changed_.SignalAll();
    if (thread_.joinable()) thread_.join();
    base::MutexLock lock(mutex_);
    while (reporting_ > 0) changed_.Wait(mutex_);
  }

  void OnChange(const registry::ServiceRecord& record) {
    {
      base::MutexLock lock(mutex_);
      schedule_.OnChange(record, clock_.Monotonic());
    }
    changed_.SignalAll();
  }

  void OnExchangeFailed(std::string_view job_id) {
    {
      base::MutexLock lock(mutex_);
      schedule_.OnExchangeFailed(job_id, clock_.Monotonic());
    }
    changed_.SignalAll();
  }

 private:
  // What the thread does next: a probe that is due, or one whose answer has come.
  struct Work {
    std::optional<ProbeSchedule::Due> due;
    std::shared_ptr<Probe> answered;
  };

  void Run() {
    while (std::optional<Work> work = NextWork()) {
      if (work->answered != nullptr) {
        GoOn(std::move(work->answered));
      } else {
        Begin(*std::move(work->due));
      }
    }
  }

  // Blocks until there is some; nullopt when the prober ends.
  std::optional<Work> NextWork() {
    base::MutexLock lock(mutex_);
    while (!stopped_) {
      if (!answered_.empty()) {
        Work work{.answered = std::move(answered_.front())};
        answered_.pop_front();
        return work;
      }
      const absl::Duration now = clock_.Monotonic();
      if (std::optional<ProbeSchedule::Due> due = schedule_.TakeDue(now)) {
        return Work{.due = std::move(due)};
      }
      const absl::Duration wait = schedule_.NextDue() - now;
      if (wait == absl::InfiniteDuration()) {
        changed_.Wait(mutex_);
      } else {
        changed_.WaitWithTimeout(mutex_, wait);
      }
    }
    return std::nullopt;
  }

  void Begin(ProbeSchedule::Due due) {
    auto probe = std::make_shared<Probe>();
    probe->record = std::move(due.record);
    probe->ask_platform = due.ask_platform;
    probe->backend = backend_of_(*probe->record);
    probe->deadline = clock_.Monotonic() + config_.timeout;
    if (probe->backend.port == 0) {
      Conclude(std::move(probe));
    } else {
      Ask(std::move(probe), kReadinessPath, &Probe::readiness);
    }
  }

  // `answer` is filled, or left empty when none came, and the probe goes on on the loop's thread.
  void Ask(std::shared_ptr<Probe> probe, std::string_view path,
           std::optional<io::HttpResponse> Probe::*answer) {
    const absl::Duration left = probe->deadline - clock_.Monotonic();
    io::HttpRequest request =
        ProbeRequest(probe->backend, path, std::max(left, absl::Milliseconds(1)));
    http_.Fetch(std::move(request), [loop = shared_from_this(), probe = std::move(probe),
                                     answer](absl::StatusOr<io::HttpResponse> response) mutable {
      if (response.ok()) (*probe).*answer = *std::move(response);
      loop->Answered(std::move(probe));
    });
  }

  void Answered(std::shared_ptr<Probe> probe) {
    {
      base::MutexLock lock(mutex_);
      answered_.push_back(std::move(probe));
    }
    changed_.SignalAll();
  }

  void GoOn(std::shared_ptr<Probe> probe) {
    const bool time_left = probe->deadline > clock_.Monotonic();
    if (probe->liveness_asked || !probe->readiness.has_value() || !time_left) {
      Conclude(std::move(probe));
      return;
    }
    probe->liveness_asked = true;
    Ask(std::move(probe), kLivenessPath, &Probe::liveness);
  }

  // The platform is asked last: an end that it reports is then at least as new as the HTTP answer.
  void Conclude(std::shared_ptr<Probe> probe) {
    pool_.Post([loop = shared_from_this(), probe = std::move(probe)] { loop->Report(*probe); });
  }

  void Report(const Probe& probe) {
    const std::string& job_id = probe.record->job_id;
    {
      base::MutexLock lock(mutex_);
      if (stopped_) return;
      ++reporting_;
    }
    std::optional<ProbeResult> result;
    if (probe.backend.port != 0) result = ParseProbe(probe.readiness, probe.liveness);
    std::optional<platforms::PlatformState> platform;
    if (!probe.record->foreign && (probe.ask_platform || !probe.readiness.has_value())) {
      platform = Observe(*probe.record);
    }
    if ((platform.has_value() || result.has_value()) && StillKnown(job_id)) {
      listener_.OnFinding(job_id, std::move(platform), std::move(result));
    }
    {
      base::MutexLock lock(mutex_);
      --reporting_;
      schedule_.Finished(job_id, clock_.Monotonic());
    }
    changed_.SignalAll();
  }

  std::optional<platforms::PlatformState> Observe(const registry::ServiceRecord& record) {
    absl::StatusOr<platforms::PlatformState> state = observe_(record);
    if (state.ok()) return *std::move(state);
    base::Log(base::LogLevel::kDebug, "readiness", "cannot ask the platform",
              {{"job_id", record.job_id},
               {"platform", record.platform},
               {"why", std::string(base::ToStd(state.status().message()))}});
    return std::nullopt;
  }

  bool StillKnown(std::string_view job_id) {
    base::MutexLock lock(mutex_);
    return !stopped_ && schedule_.Knows(job_id);
  }

  const ProberConfig config_;
  io::HttpClient& http_;
  base::WorkPool& pool_;
  const base::Clock& clock_;
  const ObservePlatform observe_;
  const BackendOf backend_of_;
  ProbeListener& listener_;

  base::Mutex mutex_;
  base::CondVar changed_;
  ProbeSchedule schedule_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Probe>> answered_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  int reporting_ ABSL_GUARDED_BY(mutex_) = 0;  // pool threads inside Report
  std::thread thread_;
};

Prober::Prober(const ProberConfig& config, io::HttpClient& http, base::WorkPool& pool,
               const base::Clock& clock, ObservePlatform observe, BackendOf backend_of,
               ProbeListener& listener)
    : loop_(std::make_shared<Loop>(config, http, pool, clock, std::move(observe),
                                   std::move(backend_of), listener)) {
  loop_->Start();
}

Prober::~Prober() { Stop(); }

void Prober::Stop() { loop_->Stop(); }

void Prober::OnChange(const registry::ServiceRecord& record) { loop_->OnChange(record); }

void Prober::OnExchangeFailed(std::string_view job_id) { loop_->OnExchangeFailed(job_id); }

}  // namespace tao::readiness
