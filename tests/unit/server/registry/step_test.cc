#include "server/registry/step.h"

#include <absl/strings/str_split.h>
#include <gmock/gmock.h>

#include <csignal>
#include <set>

#include "server/base/strings.h"

namespace tao::registry {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;

constexpr Operation kReal[] = {Operation::kStart, Operation::kStop, Operation::kFail};

// The number of enumerators of Step: kRelease is the last one.
constexpr int kStepCount = static_cast<int>(Step::kRelease) + 1;

TEST(StepTest, EachStepOfEachOperationHasTwoFaultPoints) {
  const std::vector<std::string> names = FaultPointNames();
  size_t steps = 0;
  for (const Operation operation : kReal) {
    for (const Step step : StepsOf(operation)) {
      const std::string name = std::string(ToString(operation)) + "." + std::string(ToString(step));
      EXPECT_THAT(names, Contains(name));
      EXPECT_THAT(names, Contains(name + ".done"));
      ++steps;
    }
  }
  EXPECT_THAT(names, SizeIs(2 * steps));
  EXPECT_THAT(std::set<std::string>(names.begin(), names.end()), SizeIs(names.size()));
}

TEST(StepTest, EveryStepBelongsToAnOperation) {
  for (int i = static_cast<int>(Step::kNone) + 1; i < kStepCount; ++i) {
    const Step step = static_cast<Step>(i);
    bool found = false;
    for (const Operation operation : kReal) found = found || HasStep(operation, step);
    EXPECT_TRUE(found) << ToString(step);
  }
}

TEST(StepTest, NamesLeadBack) {
  for (int i = 0; i < kStepCount; ++i) {
    const Step step = static_cast<Step>(i);
    EXPECT_NE(ToString(step), "unknown") << i;
    EXPECT_EQ(StepNamed(ToString(step)), step);
  }
  for (const Operation operation : kReal) EXPECT_EQ(OperationNamed(ToString(operation)), operation);
  EXPECT_EQ(StepNamed("jump"), std::nullopt);
  EXPECT_EQ(OperationNamed("jump"), std::nullopt);
}

TEST(StepTest, ListNamesEachFaultPointAndThePlatformsThatReachIt) {
  const std::vector<std::string> lines = absl::StrSplit(FaultPointList(), '\n', absl::SkipEmpty());
  const std::vector<std::string> names = FaultPointNames();
  ASSERT_EQ(lines.size(), names.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].substr(0, lines[i].find(' ')), names[i]);
  }
  EXPECT_THAT(lines, testing::IsSupersetOf({"start.accept", "start.spawn-process local-process",
                                            "start.run-container local-docker brev",
                                            "stop.remove-network.done local-docker"}));
}

TEST(StepTest, UnknownFaultPointListsTheNames) {
  const absl::Status status = ArmFaultPoint("start.jump");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("start.run-container.done"));
}

TEST(StepTest, ArmedFaultPointKillsThereAndNowhereElse) {
  EXPECT_EXIT(
      {
        ASSERT_TRUE(ArmFaultPoint("stop.end-job.done").ok());
        HitFaultPoint(Operation::kStop, Step::kEndJob, /*done=*/false);
        HitFaultPoint(Operation::kFail, Step::kEndJob, /*done=*/true);
        HitFaultPoint(Operation::kStop, Step::kDrain, /*done=*/true);
        fputs("still there\n", stderr);
        HitFaultPoint(Operation::kStop, Step::kEndJob, /*done=*/true);
      },
      testing::KilledBySignal(SIGKILL), "still there");
}

TEST(StepTest, NothingIsArmedByDefault) {
  for (const Operation operation : kReal) {
    for (const Step step : StepsOf(operation)) {
      HitFaultPoint(operation, step, false);
      HitFaultPoint(operation, step, true);
    }
  }
  HitFaultPoint(Operation::kNone, Step::kNone, false);
}

}  // namespace
}  // namespace tao::registry
