#include "server/lifecycle/recovery.h"

namespace tao::lifecycle {

std::string_view ToString(RecoveryAction action) {
  switch (action) {
    case RecoveryAction::kNothing:
      return "nothing";
    case RecoveryAction::kAdopt:
      return "adopt";
    case RecoveryAction::kResumeStart:
      return "resume start";
    case RecoveryAction::kResumeStop:
      return "resume stop";
    case RecoveryAction::kResumeFail:
      return "resume clean-up";
  }
  return "unknown";
}

RecoveryAction PlanRecovery(const registry::ServiceRecord& record) {
  using registry::Operation;
  using routing::Phase;
  // The phase is stronger than the journal: a cancelled start may still have journaled a step after
  // Stop was accepted.
  switch (record.phase) {
    case Phase::kStopped:
      return RecoveryAction::kNothing;
    case Phase::kDraining:
      return RecoveryAction::kResumeStop;
    case Phase::kFailed:
      return record.journal.operation == Operation::kNone ? RecoveryAction::kNothing
                                                          : RecoveryAction::kResumeFail;
    default:
      break;
  }
  switch (record.journal.operation) {
    case Operation::kNone:
      return RecoveryAction::kAdopt;
    case Operation::kStart:
      return RecoveryAction::kResumeStart;
    case Operation::kStop:
      return RecoveryAction::kResumeStop;
    case Operation::kFail:
      return RecoveryAction::kResumeFail;
  }
  return RecoveryAction::kAdopt;
}

}  // namespace tao::lifecycle
