// Lifecycle's part that runs at start, and takes in what other tools did.

#include <poll.h>

#include <set>
#include <string>

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/lifecycle/lifecycle.h"
#include "server/lifecycle/recovery.h"
#include "server/readiness/phase_machine.h"

namespace tao::lifecycle {
namespace {

using registry::ServiceRecord;
using routing::Phase;

// The sweep's name in the operation queue: no job_id looks like it.
constexpr std::string_view kSweep = "(leftovers)";

// Journals nothing: what is removed has no record.
class SilentSession : public platforms::StopSession {
 public:
  explicit SilentSession(const base::CancelToken& cancel) : cancel_(cancel) {}
  absl::Status BeginStep(registry::Step) override { return absl::OkStatus(); }
  absl::Status EndStep(registry::Step) override { return absl::OkStatus(); }
  const base::CancelToken& cancel() const override { return cancel_; }

 private:
  const base::CancelToken& cancel_;
};

// Whether a job that was found on a platform belongs to nobody. FAILED ones that are kept on
// purpose, and everything that an operation works on, belong to their record; so does a job whose
// record is broken: it may be in use, and nothing says that it is not.
bool IsLeftover(const registry::Registry& registry, const std::string& job_id) {
  const std::optional<ServiceRecord> record = registry.Find(job_id);
  if (!record.has_value()) return !registry.SetAside(job_id).has_value();
  if (record->phase == Phase::kStopped) return true;
  return record->phase == Phase::kFailed && !record->keep_failed &&
         record->journal.operation == registry::Operation::kNone;
}

}  // namespace

void Lifecycle::Recover() {
  for (const auto& listed : parts_.registry->List()) {
    const ServiceRecord& record = *listed;
    if (record.foreign) continue;
    const RecoveryAction action = PlanRecovery(record);
    base::Log(base::LogLevel::kInfo, "lifecycle", "recovering service",
              {{"job_id", record.job_id},
               {"phase", std::string(routing::ToString(record.phase))},
               {"step", std::string(registry::ToString(record.journal.step))},
               {"action", std::string(ToString(action))}});
    switch (action) {
      case RecoveryAction::kNothing:
        break;
      case RecoveryAction::kAdopt:
        // Leased, probed and published as every live record is.
        if (platforms::Platform* const platform = parts_.PlatformNamed(record.platform)) {
          platform->Adopt(JobOf(record));
        }
        break;
      case RecoveryAction::kResumeStart:
        // Its platform may come up beside us.
        PostStart(record.job_id, parts_.config.leftovers_limit);
        break;
      case RecoveryAction::kResumeStop:
        PostStop(record.job_id, absl::ZeroDuration());
        break;
      case RecoveryAction::kResumeFail:
        PostFail(record.job_id);
        break;
    }
  }
  operations_.Post(kSweep, [this](const base::CancelToken& cancel) {
    const absl::Duration end = parts_.clock->Monotonic() + parts_.config.leftovers_limit;
    std::set<std::string> unknown;
    do {
      SweepLeftovers(unknown, cancel);
      pollfd wait{.fd = cancel.fd(), .events = POLLIN, .revents = 0};
      poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(parts_.config.leftovers_interval)));
    } while (!cancel.cancelled() && parts_.clock->Monotonic() < end);
  });
}

void Lifecycle::SweepLeftovers(std::set<std::string>& unknown, const base::CancelToken& cancel) {
  for (const auto& [name, platform] : parts_.platforms) {
    const auto found = platform->FindOurs();
    if (!found.ok()) {
      // A platform that is not installed here is no news; one that ran services says so when
      // probed.
      base::Log(base::LogLevel::kDebug, "lifecycle", "platform could not be searched for leftovers",
                {{"platform", name}, {"error", found.status().ToString()}});
      continue;
    }
    for (const platforms::FoundJob& job : *found) {
      if (const auto kept = parts_.registry->SetAside(job.job_id);
          kept.has_value() && unknown.insert(job.job_id).second) {
        base::Log(base::LogLevel::kWarning, "lifecycle",
                  "a job of ours is left alone, since its service's record is broken. Stop the "
                  "service if it is listed; else repair the record, or remove it, and restart the "
                  "server",
                  {{"job_id", job.job_id}, {"platform", name}, {"kept_as", *kept}});
      }
      // Looked up after the search: a record stands before its job does.
      if (!IsLeftover(*parts_.registry, job.job_id)) continue;
      base::Log(base::LogLevel::kWarning, "lifecycle",
                "removing a job of ours that no service knows",
                {{"job_id", job.job_id}, {"platform", name}});
      SilentSession session(cancel);
      platforms::PlatformJob leftover;
      leftover.job_id = job.job_id;
      absl::Status removed = platform->Stop(leftover, platforms::StopOptions{}, session);
      if (removed.ok() && !parts_.registry->Find(job.job_id).has_value()) {
        removed = parts_.state->Remove(job.job_id);  // its folder; a record would still need it
      }
      if (!removed.ok()) {
        base::Log(base::LogLevel::kWarning, "lifecycle", "a leftover job could not be removed",
                  {{"job_id", job.job_id}, {"error", removed.ToString()}});
      }
    }
  }
}

void Lifecycle::OnForeignEntry(const registry::FileEntry& entry) {
  const absl::Time now = parts_.clock->Now();
  const auto fill = [&](ServiceRecord& record) {
    record.network_arch = entry.network_arch;
    record.platform = entry.platform;
    record.host_url = entry.host_url;
    record.docker_url = entry.docker_url;
    record.host_port = entry.host_port;
    record.platform_job_id = entry.platform_job_id;
    record.slurm_node = entry.slurm_node;
    record.instance_id = entry.instance_id;
    record.started_at = entry.started_at;
    return true;
  };
  if (parts_.registry->Find(entry.job_id).has_value()) {
    static_cast<void>(parts_.registry->Update(entry.job_id, fill));
    return;
  }
  ServiceRecord record;
  record.job_id = entry.job_id;
  record.foreign = true;
  record.created_at = entry.started_at == absl::InfinitePast() ? now : entry.started_at;
  record.phase = Phase::kStarting;
  record.phase_since = now;
  record.progress_since = now;
  record.message = "started by another tool; waiting for its answer";
  record.driver_state["foreign"] = "1";
  fill(record);
  if (const absl::Status inserted = parts_.registry->Insert(std::move(record)); !inserted.ok()) {
    base::Log(base::LogLevel::kWarning, "lifecycle", "an entry of another tool was not taken in",
              {{"job_id", entry.job_id}, {"error", inserted.ToString()}});
  }
}

void Lifecycle::OnForeignEntryGone(std::string_view job_id) {
  static_cast<void>(parts_.registry->Update(job_id, [](ServiceRecord& record) {
    if (!record.foreign) return false;
    record.phase = Phase::kStopped;
    return true;
  }));
}

// Another tool took our entry out: the platform knows whether the service still runs. Not in the
// queue of the service, whose operation may be waiting for the registry file.
void Lifecycle::OnOurEntryVanished(std::string_view job_id) {
  const std::string id(job_id);
  operations_.Post("(vanished " + id + ")", [this, id](const base::CancelToken& cancel) {
    while (!cancel.cancelled()) {
      const std::optional<ServiceRecord> record = parts_.registry->Find(id);
      if (!record.has_value() || !readiness::IsProbed(record->phase)) return;
      const auto state = Observe(*record);
      if (state.ok()) {
        OnFinding(id, *state, std::nullopt);
        if (state->state != platforms::PlatformState::State::kRunning) return;
        base::Log(base::LogLevel::kWarning, "lifecycle",
                  "another tool removed the entry of a service that runs; written back",
                  {{"job_id", id}});
        static_cast<void>(parts_.registry_file->PublishNow(id));
        return;
      }
      pollfd wait{.fd = cancel.fd(), .events = POLLIN, .revents = 0};
      poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(parts_.config.stop_retry)));
    }
  });
}

}  // namespace tao::lifecycle
