#include "server/platforms/brev/brev_parse.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"
#include "server/platforms/brev/brev_state.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::ElementsAre;
using testing::HasSubstr;

// As brev prints it.
constexpr char kList[] = R"({
  "workspaces": [
    {"name": "gpu-box", "id": "9xk2m1abc", "status": "RUNNING", "build_status": "COMPLETED",
     "shell_status": "READY", "health_status": "HEALTHY", "instance_type": "n1-standard-4:nvidia-tesla-t4:1",
     "instance_kind": "vm", "gpu": "T4"},
    {"name": "old", "id": "7aa", "status": "STOPPED", "build_status": "COMPLETED",
     "shell_status": "NOT READY", "health_status": "", "instance_type": "x", "instance_kind": "vm", "gpu": ""},
    {"name": "old", "id": "7ab", "status": "DEPLOYING", "build_status": "PENDING",
     "shell_status": "NOT READY", "health_status": "", "instance_type": "x", "instance_kind": "vm", "gpu": ""}
  ]
})";

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

TEST(ParseInstancesTest, ReadsTheListAndNullIsAnEmptyOne) {
  const auto found = ParseInstances(kList);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 3U);
  EXPECT_EQ(found->at(0), (BrevInstance{.name = "gpu-box",
                                        .id = "9xk2m1abc",
                                        .status = "RUNNING",
                                        .build_status = "COMPLETED",
                                        .shell_status = "READY"}));
  const auto none = ParseInstances(R"({"workspaces": null})");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
}

TEST(ParseInstancesTest, WhatCannotBeReadIsNeverAnEmptyList) {
  for (const char* output :
       {"", "Name Status Build", "[]", "{}", R"({"workspaces": 3})", R"({"workspaces": ["x"]})",
        R"({"workspaces": [{"name": "x"}]})", R"({"workspaces": [{"id": "x"}]})",
        "You are currently logged out, would you like to log in? [Y/n]: "}) {
    EXPECT_EQ(ParseInstances(output).status().code(), absl::StatusCode::kUnavailable) << output;
  }
}

TEST(FindInstanceTest, AnIdWinsAndANameOfSeveralIsAnError) {
  const auto all = ParseInstances(kList);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ((*FindInstance(*all, "gpu-box"))->id, "9xk2m1abc");
  EXPECT_EQ((*FindInstance(*all, "7ab"))->status, "DEPLOYING");
  EXPECT_EQ(*FindInstance(*all, "gpu"), std::nullopt);
  const absl::Status several = FindInstance(*all, "old").status();
  EXPECT_EQ(several.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(several), HasSubstr("7aa and 7ab"));
}

struct UseRow {
  const char *status, *build, *shell;
  InstanceUse use;
  std::optional<State> state;  // of the service, before its docker is asked
  const char* detail;
};

TEST(UseOfTest, FollowsTheTableOfStates) {
  for (const UseRow& row : std::vector<UseRow>{
           {"DEPLOYING", "PENDING", "NOT READY", InstanceUse::kComing, State::kPending, "PENDING"},
           {"DEPLOYING", "", "NOT READY", InstanceUse::kComing, State::kPending, "DEPLOYING"},
           {"STARTING", "COMPLETED", "NOT READY", InstanceUse::kComing, State::kPending,
            "STARTING"},
           {"RUNNING", "BUILDING", "NOT READY", InstanceUse::kComing, State::kPending, "BUILDING"},
           {"RUNNING", "COMPLETED", "READY", InstanceUse::kUsable, {}, ""},
           {"UNHEALTHY", "COMPLETED", "NOT READY", InstanceUse::kUsable, {}, ""},
           {"RUNNING", "CREATE_FAILED", "NOT READY", InstanceUse::kFailed, State::kFailed,
            "CREATE"},
           {"FAILURE", "", "NOT READY", InstanceUse::kFailed, State::kFailed, "FAILURE"},
           {"STOPPING", "COMPLETED", "NOT READY", InstanceUse::kStopped, State::kFailed,
            "STOPPING"},
           {"STOPPED", "COMPLETED", "NOT READY", InstanceUse::kStopped, State::kFailed,
            "stopped outside the service"},
           {"DELETING", "COMPLETED", "NOT READY", InstanceUse::kDeleting, State::kGone, "deleted"},
       }) {
    const BrevInstance instance = {.name = "box",
                                   .id = "1",
                                   .status = row.status,
                                   .build_status = row.build,
                                   .shell_status = row.shell};
    const std::string words = Describe(instance);
    EXPECT_EQ(UseOf(instance), row.use) << words;
    const auto state = StateOnInstance(instance);
    ASSERT_TRUE(state.ok()) << words;
    ASSERT_EQ(state->has_value(), row.state.has_value()) << words;
    if (!row.state.has_value()) continue;
    EXPECT_EQ((*state)->state, *row.state) << words;
    EXPECT_THAT((*state)->detail, HasSubstr(row.detail));
  }
}

TEST(UseOfTest, AWordThatIsNotKnownIsNoState) {
  const BrevInstance instance = {.name = "box", .id = "1", .status = "PAUSED"};
  EXPECT_EQ(UseOf(instance), InstanceUse::kUnknown);
  EXPECT_EQ(StateOnInstance(instance).status().code(), absl::StatusCode::kUnavailable);
}

constexpr char kTypes[] = R"([
  {"type": "a100x8", "provider": "p", "gpu_name": "A100", "gpu_count": 8, "price_per_hour": 12.5},
  {"type": "l40s", "provider": "p", "gpu_name": "L40S", "gpu_count": 1, "price_per_hour": "1.90"},
  {"type": "t4", "provider": "p", "gpu_name": "T4", "gpu_count": 1, "price_per_hour": 0.5},
  {"type": "t4", "provider": "q", "gpu_name": "T4", "gpu_count": 1, "price_per_hour": 0.6},
  {"type": "h100x2", "provider": "p", "gpu_name": "H100", "gpu_count": 2, "price_per_hour": 5}
])";

TEST(ChooseTypesTest, FewestGpusThatAreEnoughThenTheCheapest) {
  const auto types = ParseTypes(kTypes);
  ASSERT_TRUE(types.ok()) << types.status();
  EXPECT_THAT(*ChooseTypes(*types, 1, 3), ElementsAre("t4", "l40s"));
  EXPECT_THAT(*ChooseTypes(*types, 1, 1), ElementsAre("t4"));
  EXPECT_THAT(*ChooseTypes(*types, 2, 3), ElementsAre("h100x2"));
  EXPECT_THAT(*ChooseTypes(*types, 3, 3), ElementsAre("a100x8"));
  const absl::Status none = ChooseTypes(*types, 9, 3).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(none), HasSubstr("--gpu-count"));
  EXPECT_FALSE(ParseTypes(R"({"types": []})").ok());
}

TEST(ParseFlagsTest, FindsTheLongFlagsOfAHelpText) {
  const auto flags = ParseFlags(
      "Usage:\n  brev create <name> [flags]\n\nFlags:\n"
      "  -t, --type string      Comma-separated list (see 'brev search')\n"
      "      --timeout int      seconds (default 300)\n  -d, --detached   Don't wait\n");
  EXPECT_TRUE(flags.contains("--type") && flags.contains("--timeout") &&
              flags.contains("--detached"));
  EXPECT_FALSE(flags.contains("--workspace-group-id"));
}

TEST(ParseSshAliasTest, TellsAnEntryFromNone) {
  const auto direct = ParseSshAlias("user ubuntu\nhostname 203.0.113.7\nport 22\n", "box");
  ASSERT_TRUE(direct.has_value());
  EXPECT_EQ(direct->hostname, "203.0.113.7");
  EXPECT_FALSE(direct->proxied);
  const auto proxied = ParseSshAlias(
      "hostname box\nproxycommand /root/.brev/cloudflared access ssh --hostname x\n", "box");
  ASSERT_TRUE(proxied.has_value());
  EXPECT_TRUE(proxied->proxied);
  EXPECT_FALSE(ParseSshAlias("hostname box\nuser root\n", "Box").has_value());
  EXPECT_FALSE(ParseSshAlias("hostname box\nproxycommand none\n", "box").has_value());
  EXPECT_FALSE(ParseSshAlias("", "box").has_value());
}

TEST(BrevStateTest, IsKeptWholeAndFindsItsInstancesByName) {
  const BrevState state = {.owned = true,
                           .foreign = false,
                           .instance_name = "tao-x",
                           .instance_id = "9x",
                           .network = "net",
                           .address = "box.example",
                           .ip = "203.0.113.7"};
  EXPECT_EQ(ToBrevState(state.ToMap()).ToMap(), state.ToMap());
  EXPECT_TRUE(ToBrevState(state.ToMap()).owned);
  EXPECT_FALSE(ToBrevState({{"instance_id", "9x"}}).owned);

  const std::string job = "0b5c3f2e-1d4a-4c6b-8e7f-112233445566";
  const std::string daemon = "deadbeef-0000-4000-8000-000000000000";
  const std::string name = OwnInstanceName(job, daemon);
  EXPECT_EQ(name, "tao-" + job + "-deadbeef");
  EXPECT_LE(name.size(), 63U);
  EXPECT_EQ(JobIdOfInstance(name, daemon), job);
  EXPECT_EQ(JobIdOfInstance(name, "feedbeef-0000-4000-8000-000000000000"), std::nullopt);
  for (const char* other :
       {"", "tao-", "gpu-box", "tao-not-a-uuid-but-just-as-long-as-one-is-x-deadbeef"}) {
    EXPECT_EQ(JobIdOfInstance(other, daemon), std::nullopt) << other;
  }
}

}  // namespace
}  // namespace tao::platforms
