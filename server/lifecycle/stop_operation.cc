#include "server/lifecycle/stop_operation.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "server/base/log.h"
#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/lifecycle/journal_session.h"

namespace tao::lifecycle {
namespace {

using registry::Operation;
using registry::ServiceRecord;
using registry::Step;

constexpr int kSavedLogLines = 200;
constexpr size_t kSavedLineBytes = 4096;
constexpr absl::Duration kDrainPoll = absl::Milliseconds(20);

class LastLines : public platforms::LogSink {
 public:
  bool OnLine(std::string_view line) override {
    // Redacted before it is cut: half a secret would be known to nobody.
    std::string text = base::Redact(std::string(line));
    if (text.size() > kSavedLineBytes) text.resize(kSavedLineBytes);
    lines_.push_back(std::move(text));
    return true;
  }
  std::vector<std::string> Take() {
    const size_t surplus = lines_.size() > kSavedLogLines ? lines_.size() - kSavedLogLines : 0;
    lines_.erase(lines_.begin(), lines_.begin() + static_cast<std::ptrdiff_t>(surplus));
    return std::move(lines_);
  }

 private:
  std::vector<std::string> lines_;
};

void Drain(const Parts& parts, const std::string& job_id, absl::Duration limit,
           const base::CancelToken& cancel) {
  const absl::Duration deadline = parts.clock->Monotonic() + limit;
  while (parts.exchanges->InFlight(job_id) > 0 && parts.clock->Monotonic() < deadline) {
    if (base::CancelledWithin(cancel, kDrainPoll)) return;
  }
  parts.cutter->CutExchanges(job_id);
}

absl::Status SaveLogs(Parts& parts, const ServiceRecord& record, JournalSession& session,
                      const base::CancelToken& cancel) {
  RETURN_IF_ERROR(session.BeginStep(Step::kSaveLogs));
  LastLines lines;
  if (platforms::Platform* const platform = parts.PlatformNamed(record.platform)) {
    const absl::Status read = platform->StreamLogs(
        JobOf(record), {.tail_lines = kSavedLogLines, .follow = false}, lines, cancel);
    if (!read.ok() && !absl::IsNotFound(read)) {
      base::Log(base::LogLevel::kWarning, "lifecycle", "the last log lines could not be read",
                {{"job_id", record.job_id}, {"error", read.ToString()}});
    }
  }
  std::vector<std::string> kept = lines.Take();
  if (!kept.empty()) {
    RETURN_IF_ERROR(parts.registry
                        ->Update(record.job_id,
                                 [&](ServiceRecord& changed) {
                                   changed.last_log_lines = std::move(kept);
                                   return true;
                                 })
                        .status());
  }
  return session.EndStep(Step::kSaveLogs);
}

// Ends and removes the job, however long its platform cannot be asked. Cancelled: left to the next
// daemon.
absl::Status EndJob(Parts& parts, const ServiceRecord& record, JournalSession& session,
                    const base::CancelToken& cancel) {
  platforms::Platform* const platform = parts.PlatformNamed(record.platform);
  if (platform == nullptr)
    return absl::OkStatus();  // Stop refused it; nothing of ours can run there
  while (true) {
    const absl::Status stopped = platform->Stop(JobOf(record), platforms::StopOptions{}, session);
    if (stopped.ok()) return stopped;
    if (cancel.cancelled()) break;
    base::Log(base::LogLevel::kWarning, "lifecycle", "stop did not succeed yet, trying again",
              {{"job_id", record.job_id}, {"error", stopped.ToString()}});
    static_cast<void>(parts.registry->Update(
        record.job_id,
        [&](ServiceRecord& changed) {
          changed.message = "still stopping: " + std::string(base::ToStd(stopped.message()));
          return true;
        },
        registry::Registry::Durability::kMemory));
    if (base::CancelledWithin(cancel, parts.config.stop_retry)) break;
  }
  return absl::CancelledError("cancelled: the Stop or the daemon that follows goes on with it");
}

absl::Status Unpublish(Parts& parts, const std::string& job_id, JournalSession& session) {
  RETURN_IF_ERROR(session.BeginStep(Step::kUnpublish));
  if (const absl::Status gone = parts.registry_file->UnpublishNow(job_id); !gone.ok()) {
    base::Log(base::LogLevel::kWarning, "lifecycle", "the registry file was not written",
              {{"job_id", job_id}, {"error", gone.ToString()}});
  }
  return session.EndStep(Step::kUnpublish);
}

// The last step. The record lets go of the leases before they are free for others, and says that it
// is over only when they are: whoever sees STOPPED can have its port.
absl::Status Release(Parts& parts, const std::string& job_id, Operation operation,
                     JournalSession& session) {
  RETURN_IF_ERROR(session.BeginStep(Step::kRelease));
  const auto update = [&](const auto& change) {
    return parts.registry
        ->Update(job_id,
                 [&](ServiceRecord& record) {
                   change(record);
                   return true;
                 })
        .status();
  };
  RETURN_IF_ERROR(update([](ServiceRecord& record) {
    record.host_port = 0;
    record.instance_port = 0;
    record.gpu_ids.clear();
    record.driver_state.clear();
  }));
  parts.leases->Release(job_id);
  registry::HitFaultPoint(operation, Step::kRelease, /*done=*/true);
  const absl::Time now = parts.clock->Now();
  return update([&](ServiceRecord& record) {
    record.ended_at = std::min(record.ended_at, now);
    if (operation == Operation::kStop) {
      record.journal = {};
      record.phase = routing::Phase::kStopped;
      record.phase_since = now;
      record.message.clear();
    } else if (record.phase == routing::Phase::kFailed) {  // else a Stop has taken over
      record.journal = {};
    }
  });
}

absl::Status CarryStop(Parts& parts, const ServiceRecord& record, absl::Duration drain_timeout,
                       const base::CancelToken& cancel) {
  JournalSession session(parts, Operation::kStop, record, cancel);
  RETURN_IF_ERROR(session.BeginStep(Step::kDrain));
  Drain(parts, record.job_id, drain_timeout, cancel);
  RETURN_IF_ERROR(session.EndStep(Step::kDrain));
  RETURN_IF_ERROR(EndJob(parts, record, session, cancel));
  RETURN_IF_ERROR(Unpublish(parts, record.job_id, session));
  return Release(parts, record.job_id, Operation::kStop, session);
}

absl::Status CarryFail(Parts& parts, const ServiceRecord& record, const base::CancelToken& cancel) {
  JournalSession session(parts, Operation::kFail, record, cancel);
  RETURN_IF_ERROR(SaveLogs(parts, record, session, cancel));
  if (!record.keep_failed) RETURN_IF_ERROR(EndJob(parts, record, session, cancel));
  RETURN_IF_ERROR(Unpublish(parts, record.job_id, session));
  if (!record.keep_failed) {
    return Release(parts, record.job_id, Operation::kFail, session);
  }
  return parts.registry
      ->Update(record.job_id,
               [](ServiceRecord& changed) {
                 changed.journal = {};
                 return true;
               })
      .status();
}

void LogOutcome(const std::string& job_id, std::string_view what, const absl::Status& status) {
  if (status.ok()) {
    base::Log(base::LogLevel::kInfo, "lifecycle", what, {{"job_id", job_id}});
  } else if (!absl::IsCancelled(status) && !absl::IsNotFound(status)) {
    base::Log(base::LogLevel::kError, "lifecycle",
              "an operation was cut short; it goes on after a restart",
              {{"job_id", job_id}, {"operation", std::string(what)}, {"error", status.ToString()}});
  }
}

}  // namespace

void RunStop(Parts& parts, const std::string& job_id, absl::Duration drain_timeout,
             const base::CancelToken& cancel) {
  const std::optional<ServiceRecord> record = parts.registry->Find(job_id);
  if (!record.has_value() || record->phase != routing::Phase::kDraining) return;
  LogOutcome(job_id, "service stopped", CarryStop(parts, *record, drain_timeout, cancel));
}

void RunFail(Parts& parts, const std::string& job_id, const base::CancelToken& cancel) {
  const std::optional<ServiceRecord> record = parts.registry->Find(job_id);
  if (!record.has_value() || record->journal.operation != Operation::kFail) return;
  LogOutcome(job_id, "failed service cleaned up", CarryFail(parts, *record, cancel));
}

bool MarkFailed(Parts& parts, const std::string& job_id, const std::string& reason,
                const std::string& message) {
  const absl::Time now = parts.clock->Now();
  bool marked = false;
  static_cast<void>(parts.registry->Update(job_id, [&](ServiceRecord& record) {
    if (routing::IsFinal(record.phase) || record.phase == routing::Phase::kDraining) return false;
    record.phase = routing::Phase::kFailed;
    record.phase_since = now;
    record.ended_at = now;
    record.reason = reason;
    record.message = base::Redact(message);
    record.journal = {.operation = Operation::kFail, .step = Step::kSaveLogs};
    marked = true;
    return true;
  }));
  return marked;
}

}  // namespace tao::lifecycle
