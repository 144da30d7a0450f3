#include "server/platforms/lepton/lepton_parse.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

TEST(LeptonWorkspaceTest, OnlyTheLiteralTrueChoosesTheNewFamily) {
  struct Row {
    const char* body;
    LeptonFamily want;
  };
  for (const Row& row : {
           Row{R"({"features":{"enable_new_deployment_api":true}})", LeptonFamily::kEndpoints},
           Row{R"({"features":{"enable_new_deployment_api":false}})", LeptonFamily::kDeployments},
           Row{R"({"features":{"enable_new_deployment_api":"true"}})", LeptonFamily::kDeployments},
           Row{R"({"features":{"enable_new_deployment_api":1}})", LeptonFamily::kDeployments},
           Row{R"({"features":{}})", LeptonFamily::kDeployments},
           Row{R"({"features":null})", LeptonFamily::kDeployments},
           Row{R"({})", LeptonFamily::kDeployments},
       }) {
    const auto facts = ParseLeptonWorkspace(row.body);
    ASSERT_TRUE(facts.ok()) << row.body;
    EXPECT_EQ(facts->family, row.want) << row.body;
  }
  EXPECT_EQ(ParseLeptonWorkspace(R"({"workspace_state":"normal"})")->state, "normal");
  EXPECT_EQ(ParseLeptonWorkspace("<html>").status().code(), absl::StatusCode::kUnavailable);
}

TEST(LeptonTokenTest, ExpiryIsOfTheTokenThatFitsTheMask) {
  const base::Secret token("abcdefgh12345678");
  const char* const body = R"([
      {"masked_value": "zzzz...5678", "expires_at": 1000},
      {"masked_value": "abcd...5678", "expires_at": 1790000000000},
      {"masked_value": "...", "expires_at": 5}])";
  EXPECT_EQ(LeptonTokenExpiry(body, token), absl::FromUnixMillis(1790000000000));
  EXPECT_EQ(LeptonTokenExpiry(body, base::Secret("another-token-here")), std::nullopt);
  EXPECT_EQ(LeptonTokenExpiry(R"([{"masked_value":"abcd...5678","expires_at":0}])", token),
            std::nullopt)
      << "never";
  EXPECT_EQ(LeptonTokenExpiry("no JSON", token), std::nullopt);
}

TEST(LeptonNodeGroupTest, NamesBecomeIds) {
  const auto groups = ParseLeptonNodeGroups(R"([
      {"metadata": {"id": "ng-1", "name": "h100"}, "spec": {"volumes": [{"name": "data"}]}},
      {"metadata": {"id": "ng-2", "name": "a10"}}])");
  ASSERT_TRUE(groups.ok());
  EXPECT_THAT(groups->front().volumes, ElementsAre("data"));
  EXPECT_THAT(*LeptonNodeGroupIds("a10, h100", *groups), ElementsAre("ng-2", "ng-1"));
  EXPECT_THAT(*LeptonNodeGroupIds("ng-2", *groups), ElementsAre("ng-2"));
  const absl::Status unknown = LeptonNodeGroupIds("h10", *groups).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(unknown), HasSubstr("h100 and a10"));
  EXPECT_THAT(*ParseLeptonNodeGroups("null"), IsEmpty());
}

constexpr char kShapes[] = R"([
    {"metadata": {"id": "gpu.h100-sxm"}, "spec": {"accelerator_num": 1, "memory_in_mb": 200000}},
    {"metadata": {"id": "gpu.a10"}, "spec": {"accelerator_num": 1, "listable_in": ["job"]}},
    {"metadata": {"id": "gpu.1xh200"}, "spec": {"accelerator_num": 1, "listable_in": ["deployment"]}},
    {"metadata": {"id": "gpu.2xh100-sxm"}, "spec": {"accelerator_num": 2}},
    {"metadata": {"id": "cpu.large"}, "spec": {"memory_in_mb": 32768}},
    {"metadata": {"id": "cpu.small"}, "spec": {"accelerator_num": 0, "memory_in_mb": 4096}}])";

launch::GpuRequest Gpus(int count) {
  if (count == 0) return {.mode = launch::GpuMode::kNone, .count = 1, .ids = {}};
  return {.mode = launch::GpuMode::kAuto, .count = count, .ids = {}};
}

TEST(LeptonShapeTest, IsChosenByTheNumberOfGpus) {
  const auto shapes = ParseLeptonShapes(kShapes);
  ASSERT_TRUE(shapes.ok());
  EXPECT_EQ(*ChooseLeptonShape("", Gpus(1), *shapes), "gpu.1xh200") << "the first by name";
  EXPECT_EQ(*ChooseLeptonShape("", Gpus(2), *shapes), "gpu.2xh100-sxm");
  EXPECT_EQ(*ChooseLeptonShape("", Gpus(0), *shapes), "cpu.small") << "the smallest";
  EXPECT_EQ(*ChooseLeptonShape("gpu.h100-sxm", Gpus(2), *shapes), "gpu.h100-sxm") << "as asked";
}

TEST(LeptonShapeTest, WhatIsNotThereListsWhatIs) {
  const auto shapes = ParseLeptonShapes(kShapes);
  ASSERT_TRUE(shapes.ok());
  for (const auto& status :
       {ChooseLeptonShape("", Gpus(8), *shapes), ChooseLeptonShape("gpu.a10", Gpus(1), *shapes)}) {
    EXPECT_EQ(status.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(status.status()), HasSubstr("cpu.large, cpu.small, gpu.1xh200"));
    EXPECT_THAT(Message(status.status()), HasSubstr("--resource-shape"));
  }
}

TEST(LeptonSecretNamesTest, AreReadInEveryFormThatIsUsed) {
  EXPECT_THAT(*ParseLeptonSecretNames(R"(["A","B"])"), ElementsAre("A", "B"));
  EXPECT_THAT(*ParseLeptonSecretNames(R"([{"name":"A"},{"metadata":{"id":"b","name":"B"}}])"),
              ElementsAre("A", "B"));
  EXPECT_THAT(*ParseLeptonSecretNames("null"), IsEmpty());
  EXPECT_EQ(ParseLeptonSecretNames("{}").status().code(), absl::StatusCode::kUnavailable);
}

TEST(LeptonEndpointTest, BothFamiliesSayTheSameInOtherPlaces) {
  const auto legacy = ParseLeptonEndpoint(R"({
      "metadata": {"id": "n", "name": "n"},
      "spec": {"resource_requirement": {"min_replicas": 1}, "api_tokens": [{"value": "***"}]},
      "status": {"state": "Ready", "endpoint": {"external_endpoint": "https://ws-n.x.run"}}})");
  const auto fresh = ParseLeptonEndpoint(R"({
      "metadata": {"name": "n", "lepton_metadata": {}},
      "spec": {"components": [{"name": "default", "min_replicas": 1}]},
      "status": {"state": "Ready", "external_url": "https://ws-n.x.run"}})");
  for (const auto& endpoint : {legacy, fresh}) {
    ASSERT_TRUE(endpoint.ok());
    EXPECT_EQ(endpoint->name, "n");
    EXPECT_EQ(endpoint->state, "Ready");
    EXPECT_EQ(endpoint->url, "https://ws-n.x.run");
    EXPECT_EQ(endpoint->min_replicas, 1);
    EXPECT_FALSE(endpoint->deleted);
  }
  EXPECT_TRUE(ParseLeptonEndpoint(R"({"metadata":{"name":"n","deleted_at":1790000000}})")->deleted);
  EXPECT_EQ(ParseLeptonEndpoint(R"({"metadata":{"name":"n"}})")->url, "");
  EXPECT_EQ(ParseLeptonEndpoint("{}").status().code(), absl::StatusCode::kUnavailable);
}

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

TEST(LeptonReplicasTest, AnIssueMeansNotReady) {
  const auto replicas = ParseLeptonReplicas(R"([
      {"metadata": {"id": "r1"}, "status": {}},
      {"metadata": {"id": "r2"},
       "status": {"readiness_issue": {"reason": "InProgress", "message": "Pulling image"}}}])");
  ASSERT_TRUE(replicas.ok());
  ASSERT_EQ(replicas->size(), 2u);
  EXPECT_FALSE((*replicas)[0].issue.has_value());
  ASSERT_TRUE((*replicas)[1].issue.has_value());
  EXPECT_EQ((*replicas)[1].issue->reason, "InProgress");
}

TEST(LeptonTerminationTest, TheLastEndIsTold) {
  const auto last = ParseLeptonTermination(R"({
      "r1": [{"started_at": 1, "finished_at": 5, "exit_code": 1, "reason": "Error"}],
      "r2": [{"started_at": 6, "finished_at": 9, "exit_code": 137, "reason": "OOMKilled"}]})");
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->exit_code, 137);
  EXPECT_THAT(last->text, HasSubstr("exit status 137: out of memory (OOMKilled)"));
  EXPECT_THAT(ParseLeptonTermination(R"({"r":[{"exit_code":137}]})")->text, HasSubstr("SIGKILL"));
  EXPECT_EQ(ParseLeptonTermination("{}"), std::nullopt) << "none";
  EXPECT_EQ(ParseLeptonTermination("[]"), std::nullopt);
}

TEST(LeptonLogsTest, NewestFirstBecomesOldestFirst) {
  const auto lines = ParseLeptonLogs(R"({"data":{"result":[
      {"values":[["30","c"],["10","a"]]},
      {"values":[["20","b"]]}]}})");
  ASSERT_TRUE(lines.ok());
  EXPECT_THAT(*lines, ElementsAre("a", "b", "c"));
  EXPECT_THAT(
      *ParseLeptonLogs(R"({"data":{"result":[{"values":[["7","second"],["7","first"]]}]}})"),
      ElementsAre("first", "second"))
      << "of one moment";
  EXPECT_THAT(*ParseLeptonLogs(R"({"data":{"result":null}})"), IsEmpty());
}

TEST(LeptonUrlTest, IsHttpsOrNothing) {
  const auto plain = ParseLeptonUrl("https://ws-n.xenon.lepton.run");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host, "ws-n.xenon.lepton.run");
  EXPECT_EQ(plain->port, 443);
  EXPECT_EQ(plain->path, "");
  const auto whole = ParseLeptonUrl("https://h.localhost:8443/a/b/");
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->port, 8443);
  EXPECT_EQ(whole->path, "/a/b");
  for (const char* const bad : {"http://h", "h", "", "https://", "https://h:0", "https://h:x",
                                "https://u@h", "https://h/\r\nx", "https://h?x", "https://h h"}) {
    EXPECT_EQ(ParseLeptonUrl(bad).status().code(), absl::StatusCode::kFailedPrecondition) << bad;
  }
}

}  // namespace
}  // namespace tao::platforms
