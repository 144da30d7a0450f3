#include "server/platforms/lepton/lepton_life.h"

#include <gmock/gmock.h>

#include <set>

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::HasSubstr;

TEST(LeptonStateTest, EveryWordOfTheTable) {
  struct Row {
    const char* state;
    std::optional<State> want;  // none: Unavailable
  };
  for (const Row& row : {Row{"Starting", State::kPending},
                         {"Updating", State::kPending},
                         {"Scaling", State::kPending},
                         {"Migrating", State::kPending},
                         {"Restarting", State::kPending},
                         {"Ready", State::kRunning},
                         {"Not Ready", State::kPending},
                         {"NotReady", State::kPending},
                         {"Stopping", State::kGone},
                         {"Stopped", State::kGone},
                         {"Deleting", State::kGone},
                         {"Error", State::kFailed},
                         {"", std::nullopt},
                         {"SomethingNew", std::nullopt}}) {
    const auto state = ToPlatformState({.name = "n", .state = row.state});
    EXPECT_EQ(state.ok(), row.want.has_value()) << row.state;
    if (row.want.has_value()) {
      EXPECT_EQ(state->state, *row.want) << row.state;
    } else {
      EXPECT_EQ(state.status().code(), absl::StatusCode::kUnavailable) << row.state;
    }
  }
}

TEST(LeptonStateTest, NotReadyMayHideAnEnd) {
  EXPECT_EQ(LifeOf({.state = "Not Ready", .min_replicas = 0}), LeptonLife::kEnding);
  EXPECT_EQ(LifeOf({.state = "Not Ready", .phase = "Stopped", .min_replicas = 1}),
            LeptonLife::kEnding);
  EXPECT_EQ(LifeOf({.state = "NotReady", .min_replicas = 1}), LeptonLife::kPending);
  EXPECT_EQ(LifeOf({.state = "Ready", .deleted = true}), LeptonLife::kEnding);
}

TEST(LeptonWaitTest, TheMostTellingReasonIsTold) {
  const std::vector<LeptonIssue> issues = ParseLeptonReadiness(R"({
      "r1": [{"reason": "InProgress", "message": "Pulling image", "creationTimestamp": 1}],
      "r2": [{"reason": "NoCapacity", "message": "0/3 nodes"}, {"reason": "Ready"}]})");
  ASSERT_EQ(issues.size(), 2u);
  const LeptonWait wait = DescribeWait({.state = "Starting"}, issues, absl::ZeroDuration());
  EXPECT_EQ(wait.reason, "NoCapacity");
  EXPECT_THAT(wait.message, HasSubstr("0/3 nodes. No node has room"));
}

TEST(LeptonWaitTest, EachReasonHasItsAdvice) {
  struct Row {
    const char* reason;
    const char* advice;
  };
  std::set<std::string_view> told;
  for (const Row& row : {Row{"NoCapacity", "--resource-shape"},
                         {"WaitingForCapacity", "--dedicated-node-group"},
                         {"Queueing", "its turn"},
                         {"ConfigError", "mount, a secret"},
                         {"DeploymentConfigError", "mount, a secret"},
                         {"SystemError", "infrastructure"},
                         {"NodeNotReady", "infrastructure"},
                         {"Preempting", "somebody else"},
                         {"UserCodeError", "tao-inference logs"},
                         {"Failed", "image pull secret"}}) {
    const LeptonWait wait = DescribeWait({.state = "Starting"},
                                         {{.replica = "r", .reason = row.reason, .message = "so"}},
                                         absl::ZeroDuration());
    EXPECT_EQ(wait.reason, row.reason);
    EXPECT_THAT(wait.message, HasSubstr(row.advice)) << row.reason;
    told.insert(row.reason);
  }
  for (const LeptonIssueRule& rule : LeptonIssueRules()) {
    EXPECT_TRUE(told.contains(rule.reason) || rule.advice.empty()) << rule.reason;
  }
}

TEST(LeptonWaitTest, ALongWaitSaysWhatItMeans) {
  const std::vector<LeptonIssue> pulling = {
      {.replica = "r", .reason = "InProgress", .message = "Pulling image"}};
  EXPECT_EQ(DescribeWait({}, pulling, absl::Minutes(14)).message, "Pulling image");
  EXPECT_THAT(DescribeWait({}, pulling, absl::Minutes(15)).message, HasSubstr("NGC key"));
  EXPECT_THAT(DescribeWait({.state = "Starting"}, {}, absl::Minutes(15)).message,
              HasSubstr("no capacity"));
  EXPECT_EQ(DescribeWait({.state = "Starting"}, {}, absl::ZeroDuration()).reason, "Starting");
}

}  // namespace
}  // namespace tao::platforms
