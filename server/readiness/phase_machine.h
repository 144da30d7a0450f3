#pragma once

// Pure: what the platform and the container say -> the service's phase. No I/O and no clock.

#include <absl/time/time.h>

#include <optional>
#include <string>

#include "server/platforms/platform.h"
#include "server/registry/service_record.h"
#include "server/routing/phase.h"

namespace tao::readiness {

// One probe of the container over HTTP (GET /api/v1/health/readiness, then liveness).
struct ProbeResult {
  enum class Outcome {
    kNoAnswer,       // refused, reset, timed out
    kReady,          // 200
    kInitializing,   // server_initializing, of either shape
    kLoading,        // model_loading, model_not_loaded, model_not_ready
    kFailed,         // initialization_failed, model_load_failed and shape B's words: final
    kUnknownAnswer,  // anything else: keep polling
  };
  Outcome outcome = Outcome::kNoAnswer;
  std::string reason;  // the container's word; empty when it gave none
  std::string message;
  std::string job_id;  // as liveness shows it; empty when it shows none
  std::optional<registry::Progress> progress;
};

struct PhaseInput {
  const registry::ServiceRecord* record = nullptr;
  // Empty: not asked this time, or could not ask (which says nothing).
  std::optional<platforms::PlatformState> platform;
  std::optional<ProbeResult> probe;  // empty: not probed this time
  absl::Time now;
};

// What the record should say now. `changed` is false when nothing differs.
struct PhaseDecision {
  bool changed = false;
  routing::Phase phase = routing::Phase::kStarting;
  std::string reason, message;
  registry::Progress progress;
};

// Rules (docs/architecture.md, "The life of a service"):
// - Only STARTING to READY and UNREACHABLE change here: LAUNCHING and PENDING belong to Launch,
//   DRAINING to Stop, and FAILED and STOPPED are final.
// - An end that the platform reports wins over HTTP. Exit status 0 once it was READY: STOPPED
//   idle_shutdown; gone once it was READY: STOPPED gone (somebody removed it); any other end:
//   FAILED, as exited or gone. kPending and kRunning say nothing.
// - 200 is READY when liveness shows our job_id or none, else FAILED foreign_backend: another
//   service has the port. Any other answer that shows a foreign job_id is not believed, and counts
//   as an unknown one.
// - The container's final words are FAILED with that word. Its words for loading hold in both
//   directions: a READY that loads again is LOADING.
// - READY without an answer is UNREACHABLE (no_answer), with an unknown one as well
//   (unknown_answer). Before READY neither changes the phase: keep polling.
// - Until its first READY a service may take record.startup_timeout in all since started_at, and
//   while STARTING, INITIALIZING or LOADING record.progress_timeout without a change of phase or
//   progress (progress_since); then it is FAILED start_timeout. Both are judged only on a finding
//   with a probe, so that a daemon which was down looks first; zero means no limit (foreign
//   entries).
PhaseDecision DecidePhase(const PhaseInput& input);

// Writes `decision` into the record it was made for, with the times that follow from it:
// phase_since, progress_since, ready_at, ended_at. Nothing when it says unchanged.
void Apply(const PhaseDecision& decision, absl::Time now, registry::ServiceRecord& record);

// Whether a service in this phase is probed: STARTING to READY and UNREACHABLE.
bool IsProbed(routing::Phase phase);

}  // namespace tao::readiness
