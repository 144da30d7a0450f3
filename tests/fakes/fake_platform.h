#pragma once

// A platforms::Platform in memory. Its jobs outlive whoever launched them, as real ones do: a test
// that "restarts the daemon" keeps the FakePlatform and makes everything else anew. Thread-safe.

#include <absl/strings/str_cat.h>
#include <poll.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/base/cancel.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/platforms/platform.h"
#include "server/platforms/preflight.h"

namespace tao::fakes {

class FakePlatform : public platforms::Platform {
 public:
  // What to do otherwise than start at once. Set it before the call that it is for; it stays.
  struct Script {
    absl::Status preflight = absl::OkStatus();
    std::vector<std::string> gpu_ids;  // of the host; empty: none, and kAuto is FailedPrecondition
    // Steps of Launch, in order; the job exists from the end of the last one on.
    std::vector<registry::Step> launch_steps = {registry::Step::kRunContainer};
    std::vector<registry::Progress> progress;  // reported in the first step
    std::set<int> taken_ports;                 // somebody else's: Launch asks for the next one
    absl::Status launch = absl::OkStatus();    // an error: in the last step, nothing is left
    std::vector<registry::Step> stop_steps = {registry::Step::kEndJob};
    absl::Status stop = absl::OkStatus();  // an error: in the first step, the job stays
    absl::Status observe = absl::OkStatus();
    absl::Status find_ours = absl::OkStatus();
    std::vector<std::string> first_log_lines = {"started"};
  };

  struct Job {
    platforms::PlatformState state = {.state = platforms::PlatformState::State::kRunning};
    int host_port = 0;
    std::vector<std::string> gpu_ids;
    std::map<std::string, std::string> driver_state;
    std::vector<std::string> log;
  };

  explicit FakePlatform(platforms::PlatformTraits traits = {.name = "fake",
                                                            .execution_backend = "local-docker"})
      : traits_(traits) {}

  void SetScript(Script script) {
    base::MutexLock lock(mutex_);
    script_ = std::move(script);
  }
  // Launches from now on wait in their last step until ReleaseLaunches, or their session is
  // cancelled.
  void HoldLaunches() {
    base::MutexLock lock(mutex_);
    gate_ = std::make_shared<base::CancelToken>();
  }
  void ReleaseLaunches() {
    base::MutexLock lock(mutex_);
    if (gate_ != nullptr) gate_->Cancel();
    gate_ = nullptr;
    changed_.SignalAll();
  }
  // Until `count` launches wait at the gate; false after 5 s.
  [[nodiscard]] bool WaitForHeldLaunches(int count) {
    base::MutexLock lock(mutex_);
    while (held_launches_ < count) {
      if (changed_.WaitWithTimeout(mutex_, absl::Seconds(5))) return false;
    }
    return true;
  }

  // The world's side of things.
  void PutJob(const std::string& job_id, Job job) {  // as if a dead daemon had left it
    base::MutexLock lock(mutex_);
    jobs_[job_id] = std::move(job);
    changed_.SignalAll();
  }
  void RemoveJob(const std::string& job_id) {  // behind the daemon's back
    base::MutexLock lock(mutex_);
    jobs_.erase(job_id);
    changed_.SignalAll();
  }
  void SetState(const std::string& job_id, platforms::PlatformState state) {
    base::MutexLock lock(mutex_);
    jobs_[job_id].state = std::move(state);
    changed_.SignalAll();
  }
  void AppendLog(const std::string& job_id, const std::string& line) {
    base::MutexLock lock(mutex_);
    jobs_[job_id].log.push_back(line);
    changed_.SignalAll();
  }

  // What a test may look at.
  std::map<std::string, Job> jobs() const {
    base::MutexLock lock(mutex_);
    return jobs_;
  }
  int launch_calls() const {
    base::MutexLock lock(mutex_);
    return launch_calls_;
  }
  std::vector<std::pair<std::string, absl::Duration>> stop_calls() const {  // job_id, grace period
    base::MutexLock lock(mutex_);
    return stop_calls_;
  }

  const platforms::PlatformTraits& traits() const override { return traits_; }

  std::vector<platforms::CheckItem> Check(const platforms::CheckRequest& request,
                                          absl::Duration deadline) override {
    return {platforms::ItemOf("fake", script().preflight, "is there")};
  }

  absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) override {
    if (request.mode == launch::GpuMode::kNone) return std::vector<std::string>();
    std::vector<std::string> ids = script().gpu_ids;
    if (ids.empty()) return absl::FailedPreconditionError("fake: this host has no GPU");
    return ids;
  }

  absl::StatusOr<platforms::PlatformJob> Launch(const launch::LaunchPlan& plan,
                                                platforms::LaunchSession& session) override {
    std::shared_ptr<base::CancelToken> gate;
    {
      base::MutexLock lock(mutex_);
      ++launch_calls_;
      gate = gate_;
      const auto found = jobs_.find(plan.job_id);
      if (found != jobs_.end()) return ToPlatformJob(plan.job_id, found->second);
    }
    const Script script = this->script();
    Job job = {.host_port = session.host_port(),
               .gpu_ids = session.gpu_ids(),
               .driver_state = {{"fake_name", plan.job_id}},
               .log = script.first_log_lines};
    RETURN_IF_ERROR(session.SaveDriverState(job.driver_state));
    for (size_t i = 0; i < script.launch_steps.size(); ++i) {
      const bool last = i + 1 == script.launch_steps.size();
      RETURN_IF_ERROR(session.BeginStep(script.launch_steps[i]));
      if (i == 0) {
        for (const registry::Progress& progress : script.progress) session.ReportProgress(progress);
      }
      if (last) {
        if (gate != nullptr) RETURN_IF_ERROR(WaitAtGate(*gate, session.cancel()));
        if (session.cancel().cancelled()) return absl::CancelledError("fake: launch cancelled");
        RETURN_IF_ERROR(script.launch);
        while (script.taken_ports.contains(job.host_port)) {
          ASSIGN_OR_RETURN(job.host_port, session.NextPort());
        }
        PutJob(plan.job_id, job);
      }
      RETURN_IF_ERROR(session.EndStep(script.launch_steps[i]));
    }
    return ToPlatformJob(plan.job_id, job);
  }

  absl::StatusOr<platforms::PlatformState> Observe(const platforms::PlatformJob& job) override {
    base::MutexLock lock(mutex_);
    RETURN_IF_ERROR(Own(script_.observe));
    const auto found = jobs_.find(job.job_id);
    if (found == jobs_.end()) {
      return platforms::PlatformState{.state = platforms::PlatformState::State::kGone};
    }
    return found->second.state;
  }

  Endpoint EndpointOf(const platforms::PlatformJob& job) const override {
    Endpoint endpoint = {.host_url = absl::StrCat("http://localhost:", job.host_port),
                         .docker_url = absl::StrCat("http://", job.job_id, ":8080"),
                         .backend = {}};
    if (const auto url = job.driver_state.find("fake_url"); url != job.driver_state.end()) {
      endpoint.host_url = url->second;  // where it has moved to
    }
    endpoint.backend.host = "127.0.0.1";
    endpoint.backend.port = job.host_port;
    endpoint.backend.authority = absl::StrCat("localhost:", job.host_port);
    return endpoint;
  }

  absl::Status Stop(const platforms::PlatformJob& job, const platforms::StopOptions& options,
                    platforms::StopSession& session) override {
    const Script script = this->script();
    {
      base::MutexLock lock(mutex_);
      stop_calls_.emplace_back(job.job_id, options.grace_period);
    }
    for (const registry::Step step : script.stop_steps) {
      RETURN_IF_ERROR(session.BeginStep(step));
      RETURN_IF_ERROR(script.stop);
      RemoveJob(job.job_id);
      RETURN_IF_ERROR(session.EndStep(step));
    }
    return absl::OkStatus();
  }

  absl::Status StreamLogs(const platforms::PlatformJob& job, const platforms::LogOptions& options,
                          platforms::LogSink& sink, const base::CancelToken& cancel) override {
    size_t next = 0;
    bool first = true;
    while (true) {
      std::vector<std::string> lines;
      bool ended = false;
      {
        base::MutexLock lock(mutex_);
        const auto found = jobs_.find(job.job_id);
        if (found == jobs_.end() && first) return absl::NotFoundError("fake: no such job");
        if (found != jobs_.end()) {
          const std::vector<std::string>& log = found->second.log;
          const auto tail = static_cast<size_t>(options.tail_lines);
          if (first && options.tail_lines >= 0 && log.size() > tail) next = log.size() - tail;
          lines.assign(log.begin() + static_cast<ptrdiff_t>(next), log.end());
          next = log.size();
        }
        ended = found == jobs_.end() ||
                found->second.state.state != platforms::PlatformState::State::kRunning;
        first = false;
        // The tick is for `cancel`, which cannot wake a condition variable.
        if (lines.empty() && !ended && options.follow && !cancel.cancelled()) {
          changed_.WaitWithTimeout(mutex_, absl::Milliseconds(10));
        }
      }
      for (const std::string& line : lines) {
        if (!sink.OnLine(line)) return absl::OkStatus();
      }
      if (cancel.cancelled()) return absl::CancelledError("fake: log stream cancelled");
      if (lines.empty() && (ended || !options.follow)) return absl::OkStatus();
    }
  }

  absl::StatusOr<std::vector<platforms::FoundJob>> FindOurs() override {
    base::MutexLock lock(mutex_);
    RETURN_IF_ERROR(Own(script_.find_ours));
    std::vector<platforms::FoundJob> found;
    for (const auto& [job_id, job] : jobs_) found.push_back({.job_id = job_id, .state = job.state});
    return found;
  }

 private:
  // An absl::Status of the caller's own: ThreadSanitizer cannot follow one that threads share,
  // because Debian's Abseil counts its references out of sight.
  static absl::Status Own(const absl::Status& status) {
    absl::Status copy(status.code(), status.message());
    status.ForEachPayload([&copy](absl::string_view type, const absl::Cord& payload) {
      copy.SetPayload(type, absl::Cord(std::string(payload)));
    });
    return copy;
  }

  Script script() const {
    base::MutexLock lock(mutex_);
    return {.preflight = Own(script_.preflight),
            .gpu_ids = script_.gpu_ids,
            .launch_steps = script_.launch_steps,
            .progress = script_.progress,
            .taken_ports = script_.taken_ports,
            .launch = Own(script_.launch),
            .stop_steps = script_.stop_steps,
            .stop = Own(script_.stop),
            .observe = Own(script_.observe),
            .find_ours = Own(script_.find_ours),
            .first_log_lines = script_.first_log_lines};
  }

  static platforms::PlatformJob ToPlatformJob(const std::string& job_id, const Job& job) {
    return {.job_id = job_id, .host_port = job.host_port, .driver_state = job.driver_state};
  }

  absl::Status WaitAtGate(const base::CancelToken& gate, const base::CancelToken& cancel) {
    {
      base::MutexLock lock(mutex_);
      ++held_launches_;
      changed_.SignalAll();
    }
    pollfd polled[] = {{.fd = gate.fd(), .events = POLLIN, .revents = 0},
                       {.fd = cancel.fd(), .events = POLLIN, .revents = 0}};
    while (poll(polled, 2, -1) < 0) {
    }
    base::MutexLock lock(mutex_);
    --held_launches_;
    return absl::OkStatus();
  }

  const platforms::PlatformTraits traits_;
  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  Script script_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<base::CancelToken> gate_ ABSL_GUARDED_BY(mutex_);
  int held_launches_ ABSL_GUARDED_BY(mutex_) = 0;
  int launch_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::pair<std::string, absl::Duration>> stop_calls_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Job> jobs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tao::fakes
