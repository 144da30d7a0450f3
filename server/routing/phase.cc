#include "server/routing/phase.h"

namespace tao::routing {

std::string_view ToString(Phase phase) {
  switch (phase) {
    case Phase::kLaunching:
      return "LAUNCHING";
    case Phase::kPending:
      return "PENDING";
    case Phase::kStarting:
      return "STARTING";
    case Phase::kInitializing:
      return "INITIALIZING";
    case Phase::kLoading:
      return "LOADING";
    case Phase::kReady:
      return "READY";
    case Phase::kUnreachable:
      return "UNREACHABLE";
    case Phase::kDraining:
      return "DRAINING";
    case Phase::kFailed:
      return "FAILED";
    case Phase::kStopped:
      return "STOPPED";
  }
  return "UNKNOWN";
}

bool IsCandidate(Phase phase) {
  switch (phase) {
    case Phase::kStarting:
    case Phase::kInitializing:
    case Phase::kLoading:
    case Phase::kReady:
    case Phase::kUnreachable:
      return true;
    case Phase::kLaunching:
    case Phase::kPending:
    case Phase::kDraining:
    case Phase::kFailed:
    case Phase::kStopped:
      return false;
  }
  return false;
}

bool IsFinal(Phase phase) { return phase == Phase::kFailed || phase == Phase::kStopped; }

}  // namespace tao::routing
