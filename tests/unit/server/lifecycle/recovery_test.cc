#include "server/lifecycle/recovery.h"

#include <gtest/gtest.h>

#include <string>

namespace tao::lifecycle {
namespace {

using registry::Operation;
using routing::Phase;

struct RecoveryCase {
  std::string name;
  Phase phase;
  Operation operation;
  RecoveryAction want;
};

class RecoveryTest : public testing::TestWithParam<RecoveryCase> {};

TEST_P(RecoveryTest, DecidesByPhaseThenJournal) {
  registry::ServiceRecord record;
  record.phase = GetParam().phase;
  record.journal.operation = GetParam().operation;
  EXPECT_EQ(ToString(PlanRecovery(record)), ToString(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Rules, RecoveryTest,
    testing::ValuesIn<RecoveryCase>({
        {"ReadyIsAdopted", Phase::kReady, Operation::kNone, RecoveryAction::kAdopt},
        {"LoadingIsAdopted", Phase::kLoading, Operation::kNone, RecoveryAction::kAdopt},
        {"HalfLaunchedGoesOn", Phase::kLaunching, Operation::kStart, RecoveryAction::kResumeStart},
        {"ConfirmedNotPublishedGoesOn", Phase::kStarting, Operation::kStart,
         RecoveryAction::kResumeStart},
        {"DrainingGoesOn", Phase::kDraining, Operation::kStop, RecoveryAction::kResumeStop},
        {"DrainingWinsOverALateStartStep", Phase::kDraining, Operation::kStart,
         RecoveryAction::kResumeStop},
        {"FailedIsCleanedUp", Phase::kFailed, Operation::kFail, RecoveryAction::kResumeFail},
        {"FailedAndCleanIsOver", Phase::kFailed, Operation::kNone, RecoveryAction::kNothing},
        {"StoppedIsOver", Phase::kStopped, Operation::kNone, RecoveryAction::kNothing},
    }),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace tao::lifecycle
