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
  std::string reason;   // the container's word; empty when it gave none
  std::string message;
  std::string job_id;   // as liveness shows it; empty when it shows none
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

// Rules (docs/architecture.md, "The life of a service"): an exit that the platform reports wins over HTTP;
// READY needs a liveness job_id that is ours or empty (else FAILED foreign_backend); a READY that loads
// again is LOADING; READY without an answer is UNREACHABLE; no change of phase or progress for
// record.progress_timeout, or record.startup_timeout in all since started_at, is FAILED start_timeout.
PhaseDecision DecidePhase(const PhaseInput& input);

}  // namespace tao::readiness
