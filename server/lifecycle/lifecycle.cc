#include "server/lifecycle/lifecycle.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <utility>

#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/lifecycle/backend_of.h"
#include "server/lifecycle/start_operation.h"
#include "server/lifecycle/stop_operation.h"

namespace tao::lifecycle {
namespace {

using registry::Operation;
using registry::ServiceRecord;
using registry::Step;
using routing::Phase;

// Launches block for a pull's time, and must not keep a Stop of another service waiting.
constexpr int kOperationThreads = 64;

ServiceRecord GoneRecord(std::string_view job_id) {
  ServiceRecord record;
  record.job_id = std::string(job_id);
  record.phase = Phase::kStopped;
  record.message = "no such service; nothing to stop";
  return record;
}

}  // namespace

Lifecycle::Lifecycle(Parts& parts) : parts_(parts), operations_(kOperationThreads) {}

Lifecycle::~Lifecycle() { Shutdown(); }

void Lifecycle::Shutdown() { operations_.Shutdown(); }

absl::StatusOr<ServiceRecord> Lifecycle::Stop(std::string_view job_id,
                                              std::optional<absl::Duration> drain_timeout) {
  if (job_id.empty()) {
    return base::WithDetails(
        absl::InvalidArgumentError("job_id is empty; name the service to stop (List shows them)"),
        {.violations = {{"job_id", "is required; List shows the services"}}});
  }
  const std::optional<ServiceRecord> found = parts_.registry->Find(job_id);
  const std::optional<std::string> set_aside = parts_.registry->SetAside(job_id);
  if (!found.has_value() && set_aside.has_value()) {
    // Not "gone": it may run, and nothing says where.
    return absl::FailedPreconditionError(absl::StrFormat(
        "the record of service %s is broken, so it is not known where it runs. Repair %s, take "
        "\"%s\" off its name and restart the server; or remove the file and restart the server, "
        "which then removes what it finds of the service",
        base::Quoted(job_id), *set_aside, set_aside->substr(set_aside->rfind(".broken"))));
  }
  if (!found.has_value() || found->phase == Phase::kStopped) {
    return found.value_or(GoneRecord(job_id));
  }
  if (found->foreign && parts_.PlatformNamed(found->platform) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrFormat("service %s was started by another tool on platform %s, which this daemon "
                        "does not have; stop it "
                        "with the tool that started it",
                        base::Quoted(job_id), base::Quoted(found->platform)));
  }
  if (found->foreign && !set_aside.has_value() && found->platform_job_id.empty() &&
      !parts_.PlatformNamed(found->platform)->traits().own_network) {
    return absl::FailedPreconditionError(
        absl::StrFormat("service %s was started by another tool, and its registry entry has no "
                        "process id and no platform_job_id; end it with the tool that started it",
                        base::Quoted(job_id)));
  }
  if (found->foreign) {
    RETURN_IF_ERROR(parts_.PlatformNamed(found->platform)->CheckForeign(JobOf(*found)));
  }
  const absl::Time now = parts_.clock->Now();
  bool accepted = false;
  ASSIGN_OR_RETURN(ServiceRecord record,
                   parts_.registry->Update(job_id, [&](ServiceRecord& changed) {
                     if (changed.phase == Phase::kDraining || changed.phase == Phase::kStopped) {
                       return false;  // somebody else's Stop is on its way
                     }
                     changed.phase = Phase::kDraining;
                     changed.phase_since = now;
                     changed.reason = "stop_requested";
                     changed.message = "draining; exchanges in flight may end";
                     changed.journal = {.operation = Operation::kStop, .step = Step::kDrain};
                     accepted = true;
                     return true;
                   }));
  if (accepted) {
    base::Log(base::LogLevel::kInfo, "lifecycle", "stop accepted", {{"job_id", record.job_id}});
    operations_.CancelCurrent(job_id);
    PostStop(record.job_id, drain_timeout.value_or(parts_.config.drain_timeout));
  }
  return record;
}

void Lifecycle::PostStart(const std::string& job_id, absl::Duration patience) {
  operations_.Post(job_id, [this, job_id, patience](const base::CancelToken& cancel) {
    RunStart(parts_, job_id, patience, cancel);
  });
}

void Lifecycle::PostStop(const std::string& job_id, absl::Duration drain_timeout) {
  operations_.Post(job_id, [this, job_id, drain_timeout](const base::CancelToken& cancel) {
    RunStop(parts_, job_id, drain_timeout, cancel);
  });
}

void Lifecycle::PostFail(const std::string& job_id) {
  operations_.Post(
      job_id, [this, job_id](const base::CancelToken& cancel) { RunFail(parts_, job_id, cancel); });
}

absl::StatusOr<platforms::PlatformState> Lifecycle::Observe(const ServiceRecord& record) {
  platforms::Platform* const platform = parts_.PlatformNamed(record.platform);
  if (platform == nullptr || record.foreign) {
    return absl::UnavailableError("the platform cannot be asked about this service");
  }
  return platform->Observe(JobOf(record));
}

absl::Status Lifecycle::StreamLogs(std::string_view job_id, const platforms::LogOptions& options,
                                   platforms::LogSink& sink, const base::CancelToken& cancel) {
  const std::optional<ServiceRecord> record = parts_.registry->Find(job_id);
  if (!record.has_value() || record->phase == Phase::kStopped) {
    return base::TokenError(base::ErrorToken::kServiceNotFound,
                            absl::StrFormat("no service has job_id %s; List shows those there are",
                                            base::Quoted(job_id)));
  }
  if (record->phase == Phase::kFailed && !record->keep_failed) {
    for (const std::string& line : record->last_log_lines) {
      if (!sink.OnLine(line)) break;
    }
    return absl::OkStatus();  // its container is gone; this is what was saved of its log
  }
  platforms::Platform* const platform = parts_.PlatformNamed(record->platform);
  if (platform == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrFormat("service %s runs on platform %s, which this daemon does not have; read its "
                        "logs with the tool that started it",
                        base::Quoted(job_id), base::Quoted(record->platform)));
  }
  if (record->foreign && !platform->traits().own_network) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "service %s was started by another daemon or tool, which has its logs; read "
        "them there",
        base::Quoted(job_id)));
  }
  return platform->StreamLogs(JobOf(*record), options, sink, cancel);
}

void Lifecycle::FollowMove(std::string_view job_id,
                           const std::map<std::string, std::string>& moved) {
  std::string from;
  bool changed = false;
  const auto updated = parts_.registry->Update(job_id, [&](ServiceRecord& record) {
    const platforms::Platform* const platform = parts_.PlatformNamed(record.platform);
    // Before it is confirmed the endpoint is Launch's to tell, and after a Stop nobody's.
    if (platform == nullptr || record.foreign || !readiness::IsProbed(record.phase)) return false;
    from = record.host_url;
    for (const auto& [name, value] : moved) {
      changed = changed || record.driver_state[name] != value;
      record.driver_state[name] = value;
    }
    if (changed) WriteEndpoint(platform->EndpointOf(JobOf(record)), record);
    return changed;
  });
  if (!updated.ok() || !changed) return;
  base::Log(base::LogLevel::kWarning, "lifecycle", "service has another address now",
            {{"job_id", updated->job_id}, {"from", from}, {"to", updated->host_url}});
}

void Lifecycle::OnFinding(std::string_view job_id, std::optional<platforms::PlatformState> platform,
                          std::optional<readiness::ProbeResult> probe) {
  bool failed = false;
  bool ended = false;
  if (platform.has_value() && !platform->moved.empty()) {
    FollowMove(job_id, platform->moved);
    probe.reset();  // of the place that it left; the new one is probed at once
  }
  const std::optional<ServiceRecord> before = parts_.registry->Find(job_id);
  if (!before.has_value()) return;
  const absl::Time now = parts_.clock->Now();
  const readiness::PhaseDecision expected = readiness::DecidePhase(
      {.record = &*before, .platform = platform, .probe = probe, .now = now});
  if (!expected.changed) return;
  const auto apply = [&](ServiceRecord& record) {
    const readiness::PhaseDecision decision = readiness::DecidePhase(
        {.record = &record, .platform = platform, .probe = probe, .now = now});
    readiness::Apply(decision, now, record);
    if (!decision.changed || record.foreign) return decision.changed;
    if (decision.phase == Phase::kFailed) {
      record.journal = {.operation = Operation::kFail, .step = Step::kSaveLogs};
      failed = true;
    } else if (decision.phase == Phase::kStopped) {
      // It ended by itself. Its container, entry and leases go the way of a Stop.
      record.phase = Phase::kDraining;
      record.journal = {.operation = Operation::kStop, .step = Step::kDrain};
      ended = true;
    }
    return true;
  };
  // A progress text is told again by the next probe: not worth a durable write each.
  const auto durability = expected.phase == before->phase
                              ? registry::Registry::Durability::kMemory
                              : registry::Registry::Durability::kDurable;
  const auto updated = parts_.registry->Update(job_id, apply, durability);
  if (!updated.ok()) return;  // it is gone, and the finding with it
  if (failed) {
    base::Log(base::LogLevel::kError, "lifecycle", "service failed",
              {{"job_id", std::string(job_id)},
               {"reason", updated->reason},
               {"message", updated->message}});
    PostFail(updated->job_id);
  } else if (ended) {
    base::Log(base::LogLevel::kInfo, "lifecycle", "service ended by itself",
              {{"job_id", std::string(job_id)}, {"reason", updated->reason}});
    PostStop(updated->job_id, absl::ZeroDuration());
  }
}

void Lifecycle::Prune() { parts_.registry->Prune(parts_.clock->Now()); }

void Lifecycle::StopAll(absl::Duration drain_timeout) {
  std::vector<std::string> stopped;
  for (const auto& record : parts_.registry->List()) {
    if (record->foreign) continue;
    if (Stop(record->job_id, drain_timeout).ok()) stopped.push_back(record->job_id);
  }
  for (const std::string& job_id : stopped) operations_.WaitIdle(job_id);
}

}  // namespace tao::lifecycle
