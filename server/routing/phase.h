#pragma once

// Where a service is in its life (docs/architecture.md, "The life of a service").

#include <string_view>

namespace tao::routing {

enum class Phase {
  kLaunching,     // image pull, create
  kPending,       // waits in a platform's queue
  kStarting,      // the container runs; nothing answered yet
  kInitializing,  // the container says server_initializing
  kLoading,       // the container says model_loading, model_not_loaded or model_not_ready
  kReady,         // readiness is 200
  kUnreachable,   // was ready, does not answer
  kDraining,      // Stop was accepted: no new exchanges
  kFailed,        // final; the reason and the last log lines are kept
  kStopped,       // gone from every list
};

std::string_view ToString(Phase phase);  // "LAUNCHING", ...
// Whether a request that names no job_id may choose a service in this phase: STARTING to READY, and
// UNREACHABLE.
bool IsCandidate(Phase phase);
// FAILED and STOPPED: no change follows.
bool IsFinal(Phase phase);

}  // namespace tao::routing
