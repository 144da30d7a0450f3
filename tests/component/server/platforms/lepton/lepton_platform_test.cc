#include "server/platforms/lepton/lepton_platform.h"

#include "tests/component/server/platforms/lepton/lepton_fixture.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

launch::LaunchPlan Plan() {
  launch::LaunchPlan plan;
  plan.job_id = kJobId;
  plan.image = "registry.test/x:1";
  plan.inner_command = launch::InnerCommand({"serve"}, std::nullopt);
  plan.secret_names = {"HF_TOKEN"};
  plan.gpus = {.mode = launch::GpuMode::kNone, .count = 1, .ids = {}};
  return plan;
}

PlatformJob Job(std::map<std::string, std::string> more = {}) {
  std::map<std::string, std::string> state = {{"workspace", kWorkspaceUrl},
                                              {"api", "deployments"},
                                              {"name", kName},
                                              {"token", "token-of-the-endpoint"},
                                              {"created", "1"}};
  state.merge(more);
  return {.job_id = kJobId, .driver_state = std::move(state)};
}

// A workspace of the legacy family. What a test changes is plain data.
struct World {
  std::optional<std::string> endpoint;  // the state that it is in; nullopt: there is none
  std::string url = "https://ws1-x.test";
  std::string readiness = "{}", replicas = "[]", termination = "{}";
  std::map<std::string, int> refuse;  // call -> status, as long as it stands here
  std::vector<std::string> after_create = {"Starting", "Ready"};  // at each look, the last stays

  std::optional<absl::StatusOr<io::HttpResponse>> Answer(const std::string& call) {
    const std::string one = std::string("/deployments/") + kName;
    if (const auto found = refuse.find(call); found != refuse.end()) return Say(found->second);
    if (call == "GET /workspace") return Say(200, R"({"workspace_state":"normal"})");
    if (call.starts_with("GET /shapes")) {
      return Say(200, R"([{"metadata":{"id":"cpu.small"},"spec":{}}])");
    }
    if (call == "GET /usersecrets") return Say(200, R"([{"name":"TAO_HF_TOKEN_333333333333"}])");
    if (call.starts_with("DELETE /usersecrets/") || call == "POST /usersecrets") return Say(200);
    if (call == "POST /deployments") {
      endpoint = after_create.front();
      return Say(201);
    }
    if (!endpoint.has_value()) return Say(404, R"({"message":"not found"})");
    if (call == "DELETE " + one) {
      endpoint.reset();
      return Say(200);
    }
    if (call == "GET " + one + "/readiness") return Say(200, readiness);
    if (call == "GET " + one + "/replicas") return Say(200, replicas);
    if (call == "GET " + one + "/termination") return Say(200, termination);
    if (call != "GET " + one) return Say(404);
    const std::string state = *endpoint;
    if (after_create.size() > 1 && state == after_create.front()) {
      after_create.erase(after_create.begin());
      endpoint = after_create.front();
    }
    return Say(200, R"({"metadata":{"name":"x"},"status":{"state":")" + state +
                        R"(","endpoint":{"external_endpoint":")" + url + R"("}}})");
  }
};

class LeptonPlatformTest : public testing::Test {
 protected:
  absl::StatusOr<PlatformState> Observe(const PlatformJob& job) { return platform_.Observe(job); }

  World world_;
  FakeWorkspace http_{
      [this](const std::string& call, const io::HttpRequest&) { return world_.Answer(call); }};
  LeptonPlatform platform_{http_, Config()};
  Session session_;
};

TEST_F(LeptonPlatformTest, TheTokenIsSavedBeforeTheEndpointIsMade) {
  const absl::StatusOr<PlatformJob> job = platform_.Launch(Plan(), session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(session_.calls, ElementsAre("save", "begin create-secret", "end create-secret",
                                          "begin submit-job", "end submit-job", "save", "save"));
  EXPECT_EQ(job->driver_state.at("name"), kName);
  EXPECT_EQ(job->driver_state.at("token").size(), 64u);
  EXPECT_EQ(base::Redact("x " + job->driver_state.at("token")), "x ***");
  const Platform::Endpoint endpoint = platform_.EndpointOf(*job);
  EXPECT_EQ(endpoint.host_url, "https://ws1-x.test");
  EXPECT_EQ(endpoint.platform_job_id, kName);
  EXPECT_EQ(endpoint.backend.scheme, "https");
  EXPECT_EQ(endpoint.backend.port, 443);
  EXPECT_EQ(endpoint.backend.authority, "ws1-x.test");
  EXPECT_EQ(endpoint.backend.credential.Reveal(), "Bearer " + job->driver_state.at("token"));
}

TEST_F(LeptonPlatformTest, AnEndpointOfOurNameThatWeDidNotMakeIsLeftAlone) {
  world_.endpoint = "Ready";
  const absl::Status refused = platform_.Launch(Plan(), session_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists) << refused;
  EXPECT_THAT(session_.saved, IsEmpty());
  EXPECT_TRUE(platform_.Stop({.job_id = kJobId}, {}, session_).ok());
  EXPECT_EQ(world_.endpoint, "Ready");
  EXPECT_THAT(session_.calls, ElementsAre("begin end-job", "end end-job", "begin remove-secret",
                                          "end remove-secret"));
}

TEST_F(LeptonPlatformTest, AResumedStartWaitsForWhatCannotBeAsked) {
  session_.saved = Job().driver_state;
  world_.endpoint = "Ready";
  world_.refuse = {{std::string("GET /deployments/") + kName, 401}};
  session_.on_pending = [this] { world_.refuse.clear(); };
  const absl::StatusOr<PlatformJob> job = platform_.Launch(Plan(), session_);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ(session_.pending.size(), 1u);
  EXPECT_EQ(session_.pending[0].first, "not_answering");
  EXPECT_THAT(session_.pending[0].second, HasSubstr("export LEPTON_AUTH_TOKEN="));
  EXPECT_EQ(http_.Count("POST /deployments"), 0);
  EXPECT_EQ(job->driver_state.at("token"), "token-of-the-endpoint");
}

TEST_F(LeptonPlatformTest, ACancelledWaitLeavesTheEndpointToItsSuccessor) {
  world_.after_create = {"Starting"};
  session_.on_pending = [this] { session_.token.Cancel(); };
  EXPECT_EQ(platform_.Launch(Plan(), session_).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(world_.endpoint, "Starting");
  Session stop;
  EXPECT_TRUE(platform_.Stop({.job_id = kJobId, .driver_state = session_.saved}, {}, stop).ok());
  EXPECT_EQ(world_.endpoint, std::nullopt);
  EXPECT_EQ(session_.saved.count("secrets"), 1u);
  EXPECT_EQ(http_.Count("DELETE /usersecrets/TAO_HF_TOKEN_333333333333"), 2) << "stale, and ours";
}

TEST_F(LeptonPlatformTest, AServiceWithoutSecretsNeedsNoRightsToThem) {
  world_.refuse = {{"GET /usersecrets", 403}};
  launch::LaunchPlan plan = Plan();
  plan.secret_names.clear();
  const absl::StatusOr<PlatformJob> job = platform_.Launch(plan, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_TRUE(platform_.Stop(*job, {}, session_).ok());
}

TEST_F(LeptonPlatformTest, AnAddressThatIsNotPrivateEndsTheStart) {
  world_.url = "http://ws1-x.test";
  const absl::Status refused = platform_.Launch(Plan(), session_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << refused;
  EXPECT_THAT(Message(refused), HasSubstr("https://HOST"));
  EXPECT_EQ(world_.endpoint, std::nullopt) << "removed again";
  EXPECT_THAT(session_.saved, IsEmpty());
}

TEST_F(LeptonPlatformTest, AnErrorBeforeThereIsAnAddressSaysWhy) {
  world_.url = "";
  world_.after_create = {"Starting", "Error"};
  world_.termination = R"({"r":[{"exit_code":137,"reason":"OOMKilled"}]})";
  const absl::Status failed = platform_.Launch(Plan(), session_).status();
  EXPECT_THAT(Message(failed), HasSubstr("exit status 137: out of memory"));
  EXPECT_EQ(world_.endpoint, std::nullopt);
}

TEST_F(LeptonPlatformTest, OnlyACertainAnswerIsGone) {
  EXPECT_EQ(Observe(Job())->state, State::kGone) << "the workspace answers, and has none";
  for (const int status : {401, 403, 404, 429, 500}) {
    world_.refuse = {{"GET /workspace", status}};
    EXPECT_EQ(Observe(Job()).status().code(), absl::StatusCode::kUnavailable) << status;
  }
  world_.endpoint = "Ready";
  for (const int status : {302, 400, 401, 403, 429, 502}) {
    world_.refuse = {{std::string("GET /deployments/") + kName, status}};
    EXPECT_EQ(Observe(Job()).status().code(), absl::StatusCode::kUnavailable) << status;
  }
  world_.refuse.clear();
  EXPECT_EQ(Observe(Job())->state, State::kRunning);
  PlatformJob elsewhere = Job();
  elsewhere.driver_state["workspace"] = "https://lepton.test/api/v2/workspaces/other";
  EXPECT_THAT(Message(Observe(elsewhere).status()), HasSubstr("Set LEPTON_WORKSPACE_ID as it was"));
}

TEST_F(LeptonPlatformTest, WhatWasReadyRunsOnWhileAReplicaIsReady) {
  world_.after_create.clear();
  world_.endpoint = "Scaling";
  world_.replicas = R"([{"metadata":{"id":"r1"}},{"metadata":{"id":"r2"}}])";
  world_.readiness = R"({"r1":[{"reason":"InProgress","message":"Pulling image"}],"r2":[]})";
  const PlatformJob ready = Job({{"url", "https://ws1-x.test"}});
  EXPECT_EQ(Observe(ready)->state, State::kRunning);
  EXPECT_EQ(Observe(Job())->state, State::kPending) << "never ready before";
  world_.readiness = R"({"r1":[{"reason":"SystemError"}],"r2":[{"reason":"NodeNotReady"}]})";
  const auto waiting = Observe(ready);
  EXPECT_EQ(waiting->state, State::kPending);
  EXPECT_THAT(waiting->detail, HasSubstr("SystemError"));
}

TEST_F(LeptonPlatformTest, AnAddressThatChangesIsTold) {
  world_.after_create.clear();
  world_.endpoint = "Ready";
  world_.url = "https://ws1-y.test:8443/there";
  PlatformJob job = Job({{"url", "https://ws1-x.test"}});
  const absl::StatusOr<PlatformState> seen = Observe(job);
  EXPECT_THAT(seen->moved, ElementsAre(testing::Pair("url", "https://ws1-y.test:8443/there")));
  for (const auto& [name, value] : seen->moved) job.driver_state[name] = value;
  const Platform::Endpoint endpoint = platform_.EndpointOf(job);
  EXPECT_EQ(endpoint.host_url, "https://ws1-y.test:8443/there");
  EXPECT_EQ(endpoint.backend.host, "ws1-y.test");
  EXPECT_EQ(endpoint.backend.port, 8443);
  EXPECT_EQ(endpoint.backend.base_path, "/there");
  EXPECT_THAT(Observe(job)->moved, IsEmpty());
  world_.url = "";  // for a while, as after a create
  EXPECT_THAT(Observe(job)->moved, IsEmpty());
  world_.url = "http://ws1-z.test";  // the token is never sent there
  EXPECT_THAT(Observe(job)->moved, IsEmpty());
  world_.url = "https://ws1-z.test";
  world_.endpoint = "Updating";
  EXPECT_THAT(Observe(job)->moved, ElementsAre(testing::Pair("url", "https://ws1-z.test")));
  EXPECT_THAT(Observe(Job())->moved, IsEmpty()) << "before the first one it is Launch's to tell";
}

// A daemon that starts makes its routes of the records before it adopts them.
TEST_F(LeptonPlatformTest, TheTokenIsNeverToldWithOrWithoutTheWordBeforeIt) {
  const std::string token = "token-that-only-an-endpoint-has-shown";
  PlatformJob job = Job({{"url", "https://ws1-x.test"}});
  job.driver_state["token"] = token;
  EXPECT_EQ(platform_.EndpointOf(job).backend.credential.Reveal(), "Bearer " + token);
  EXPECT_EQ(base::Redact("a: " + token + "; b: Bearer " + token), "a: ***; b: ***");
}

TEST_F(LeptonPlatformTest, AnErrorHasItsExitStatus) {
  world_.after_create.clear();
  world_.endpoint = "Error";
  world_.termination = R"({"r":[{"exit_code":1,"reason":"Error","message":"no such model"}]})";
  const auto failed = Observe(Job());
  EXPECT_EQ(failed->state, State::kFailed);
  EXPECT_EQ(failed->exit_code, 1);
  EXPECT_THAT(failed->detail, HasSubstr("exit status 1: Error: no such model"));
}

TEST_F(LeptonPlatformTest, AnotherToolsEndpointIsStoppedByItsEntry) {
  world_.endpoint = "Ready";
  PlatformJob foreign = {.job_id = kJobId, .driver_state = {{"foreign", "1"}}};
  EXPECT_THAT(Message(platform_.CheckForeign(foreign)), HasSubstr("platform_job_id"));
  EXPECT_FALSE(platform_.Stop(foreign, {}, session_).ok());
  EXPECT_THAT(http_.calls, IsEmpty()) << "nothing is deleted without a name";
  foreign.driver_state["platform_job_id"] = "../workspace";
  EXPECT_EQ(platform_.CheckForeign(foreign).code(), absl::StatusCode::kFailedPrecondition);
  foreign.driver_state["platform_job_id"] = kName;
  EXPECT_TRUE(platform_.CheckForeign(foreign).ok());
  EXPECT_TRUE(platform_.Stop(foreign, {}, session_).ok());
  EXPECT_EQ(world_.endpoint, std::nullopt);
  EXPECT_TRUE(platform_.Stop(foreign, {}, session_).ok()) << "gone already";
}

TEST_F(LeptonPlatformTest, NothingIsOursWithoutARecord) {
  world_.endpoint = "Ready";
  EXPECT_THAT(*platform_.FindOurs(), IsEmpty());
  EXPECT_THAT(http_.calls, IsEmpty());
}

TEST_F(LeptonPlatformTest, WhatCannotBeMountedOrGivenIsSaidBefore) {
  launch::LaunchPlan plan = Plan();
  plan.mounts = {{.source = "/data", .destination = "/models/x", .read_only = true}};
  plan.gpus = {.mode = launch::GpuMode::kDevice, .count = 1, .ids = {"0"}};
  plan.env = {{"LEPTON_WORKSPACE_ID", "x"}};
  const auto missing = [&](std::string_view name) {
    for (const CheckItem& item :
         platform_.Check({.options = plan.platform_options, .gpus = plan.gpus, .plan = &plan},
                         absl::Seconds(5))) {
      if (item.name == name && item.outcome == CheckItem::Outcome::kMissing) return item.message;
    }
    return std::string();
  };
  EXPECT_THAT(missing("mounts"), HasSubstr("--mount-from node-nfs:VOLUME"));
  EXPECT_THAT(missing("environment"), HasSubstr("leave out --env LEPTON_WORKSPACE_ID"));
  EXPECT_THAT(missing("gpu"), HasSubstr("--gpu-count"));
  plan.platform_options = {{"mount-from", "node-local"}};
  EXPECT_THAT(missing("mounts"), HasSubstr("leave out :ro"));
}

}  // namespace
}  // namespace tao::platforms
