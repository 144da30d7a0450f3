#include "server/platforms/lepton/lepton_parse.h"

#include <gmock/gmock.h>

namespace tao::platforms {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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
