#include "server/readiness/phase_machine.h"

#include <absl/strings/str_format.h>

#include <string_view>
#include <utility>

#include "server/base/strings.h"

namespace tao::readiness {
namespace {

using platforms::PlatformState;
using registry::ServiceRecord;
using routing::Phase;
using Outcome = ProbeResult::Outcome;

bool WasReady(const ServiceRecord& record) {
  return record.phase == Phase::kReady || record.phase == Phase::kUnreachable ||
         record.ready_at != absl::InfiniteFuture();
}

// On its way to READY, the first time or again.
bool IsStartingUp(Phase phase) {
  return phase == Phase::kStarting || phase == Phase::kInitializing || phase == Phase::kLoading;
}

// What every FAILED message ends with.
std::string LogsAdvice(const ServiceRecord& record) {
  return absl::StrFormat("see its last lines (tao-inference logs %s), and start it again",
                         record.job_id);
}

// The record as it is; the rules below change it.
PhaseDecision Keep(const ServiceRecord& record) {
  return {.phase = record.phase,
          .reason = record.reason,
          .message = record.message,
          .progress = record.progress};
}

PhaseDecision Become(const ServiceRecord& record, Phase phase, std::string reason,
                     std::string message) {
  PhaseDecision decision = Keep(record);
  decision.phase = phase;
  decision.reason = std::move(reason);
  decision.message = std::move(message);
  return decision;
}

// What the platform's word makes of it; nullopt when the job has not ended.
std::optional<PhaseDecision> EndOf(const ServiceRecord& record, const PlatformState& platform) {
  const bool was_ready = WasReady(record);
  const std::string_view when =
      was_ready ? "after it was READY" : "before this daemon saw it READY";
  const std::string detail = platform.detail.empty() ? "" : " (" + platform.detail + ")";
  switch (platform.state) {
    case PlatformState::State::kPending:
    case PlatformState::State::kRunning:
      return std::nullopt;
    case PlatformState::State::kExited:
      if (was_ready) {
        return Become(record, Phase::kStopped, "idle_shutdown",
                      "it shut itself down, as it does after its idle time without a request");
      }
      return Become(
          record, Phase::kFailed, "exited",
          absl::StrFormat("it ended with status 0 %s%s; %s", when, detail, LogsAdvice(record)));
    case PlatformState::State::kFailed:
      return Become(
          record, Phase::kFailed, "exited",
          absl::StrFormat("it ended %s%s; %s", when, detail.empty() ? ", with an error" : detail,
                          LogsAdvice(record)));
    case PlatformState::State::kGone:
      return Become(record, was_ready ? Phase::kStopped : Phase::kFailed, "gone",
                    absl::StrFormat("%s no longer has it: somebody removed it %s%s; start it again "
                                    "if it is needed",
                                    record.platform, when, detail));
  }
  return std::nullopt;
}

PhaseDecision ForeignBackend(const ServiceRecord& record, const ProbeResult& probe) {
  return Become(
      record, Phase::kFailed, "foreign_backend",
      absl::StrFormat("what answers at %s says that it is the service %s: another program "
                      "has the port. Stop that one, and start this again",
                      record.host_url, base::Quoted(probe.job_id)));
}

// An answer that says nothing about where the container is.
PhaseDecision NotUnderstood(const ServiceRecord& record, std::string message) {
  switch (record.phase) {
    case Phase::kReady:
      return Become(record, Phase::kUnreachable, "unknown_answer", message);
    // Nothing better is known of it, so the text may help.
    case Phase::kStarting:
    case Phase::kUnreachable:
      return Become(record, record.phase, "unknown_answer", message);
    default:
      return Keep(record);
  }
}

std::string LoadMessage(const ProbeResult& probe) {
  const bool told = probe.progress.has_value() && !probe.progress->message.empty();
  return told ? probe.progress->message : probe.message;
}

PhaseDecision AfterProbe(const ServiceRecord& record, const ProbeResult& probe) {
  if (probe.outcome == Outcome::kNoAnswer) {
    if (record.phase == Phase::kReady) {
      return Become(record, Phase::kUnreachable, "no_answer",
                    "it was READY, and does not answer its readiness check now");
    }
    return Keep(record);
  }
  if (!probe.job_id.empty() && probe.job_id != record.job_id) {
    if (probe.outcome == Outcome::kReady) return ForeignBackend(record, probe);
    return NotUnderstood(record,
                         absl::StrFormat("what answers at %s says that it is the service %s",
                                         record.host_url, base::Quoted(probe.job_id)));
  }
  PhaseDecision decision = Keep(record);
  switch (probe.outcome) {
    case Outcome::kNoAnswer:
      break;  // above
    case Outcome::kReady:
      decision = Become(record, Phase::kReady, "", "");
      break;
    case Outcome::kInitializing:
      decision = Become(record, Phase::kInitializing, probe.reason, LoadMessage(probe));
      break;
    case Outcome::kLoading:
      decision = Become(record, Phase::kLoading, probe.reason, LoadMessage(probe));
      break;
    case Outcome::kFailed:
      decision =
          Become(record, Phase::kFailed, probe.reason,
                 absl::StrFormat("the container gave up%s%s; %s", probe.message.empty() ? "" : ": ",
                                 probe.message, LogsAdvice(record)));
      break;
    case Outcome::kUnknownAnswer:
      decision = NotUnderstood(record, probe.message);
      break;
  }
  if (probe.progress.has_value()) decision.progress = *probe.progress;
  return decision;
}

// Which start-up limit has passed, as the FAILED that follows; nullopt when none has. A wall clock
// that was set back only makes the limit longer.
std::optional<PhaseDecision> StartTimeout(const ServiceRecord& record,
                                          const PhaseDecision& decision, absl::Time now) {
  if (!IsStartingUp(decision.phase)) return std::nullopt;
  const auto failed = [&](std::string_view what, absl::Duration limit, std::string_view field) {
    PhaseDecision timeout = decision;
    timeout.phase = Phase::kFailed;
    timeout.reason = "start_timeout";
    const std::string last = decision.message.empty() ? "" : " (" + decision.message + ")";
    timeout.message = absl::StrFormat(
        "it is still %s%s %s for %s; %s with a longer %s if it only needs more time",
        routing::ToString(decision.phase), last, what, absl::FormatDuration(limit),
        LogsAdvice(record), field);
    return timeout;
  };
  if (!WasReady(record) && record.startup_timeout > absl::ZeroDuration() &&
      record.started_at != absl::InfinitePast() &&
      now - record.started_at >= record.startup_timeout) {
    return failed("after running", record.startup_timeout, "startup_timeout");
  }
  const bool moved = decision.phase != record.phase || decision.progress != record.progress;
  if (!moved && record.progress_timeout > absl::ZeroDuration() &&
      record.progress_since != absl::InfinitePast() &&
      now - record.progress_since >= record.progress_timeout) {
    return failed("without any progress", record.progress_timeout, "progress_timeout");
  }
  return std::nullopt;
}

PhaseDecision Decide(const PhaseInput& input) {
  const ServiceRecord& record = *input.record;
  if (!IsProbed(record.phase)) return Keep(record);
  if (input.platform.has_value()) {
    if (std::optional<PhaseDecision> end = EndOf(record, *input.platform)) return *end;
  }
  if (!input.probe.has_value()) return Keep(record);
  PhaseDecision decision = AfterProbe(record, *input.probe);
  if (std::optional<PhaseDecision> timeout = StartTimeout(record, decision, input.now)) {
    return *timeout;
  }
  return decision;
}

}  // namespace

PhaseDecision DecidePhase(const PhaseInput& input) {
  const ServiceRecord& record = *input.record;
  PhaseDecision decision = Decide(input);
  decision.changed = decision.phase != record.phase || decision.reason != record.reason ||
                     decision.message != record.message || decision.progress != record.progress;
  return decision;
}

void Apply(const PhaseDecision& decision, absl::Time now, ServiceRecord& record) {
  if (!decision.changed) return;
  if (decision.phase != record.phase) {
    record.phase_since = now;
    record.progress_since = now;
    if (decision.phase == Phase::kReady && record.ready_at == absl::InfiniteFuture()) {
      record.ready_at = now;
    }
    if (routing::IsFinal(decision.phase)) record.ended_at = now;
  }
  if (decision.progress != record.progress) record.progress_since = now;
  record.phase = decision.phase;
  record.reason = decision.reason;
  record.message = decision.message;
  record.progress = decision.progress;
}

bool IsProbed(Phase phase) { return routing::IsCandidate(phase); }

}  // namespace tao::readiness
