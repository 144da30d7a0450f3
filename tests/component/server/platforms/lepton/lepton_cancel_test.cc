// Stop during Start, in every phase of it; and the daemon's end during a Stop.

#include <set>

#include "tests/component/server/platforms/lepton/lepton_fixture.h"

namespace tao::platforms {
namespace {

using testing::IsEmpty;

const std::string kEndpoint = std::string("/deployments/") + kName;

launch::LaunchPlan Plan() {
  launch::LaunchPlan plan;
  plan.job_id = kJobId;
  plan.image = "nvcr.io/x:1";
  plan.inner_command = launch::InnerCommand({"serve"}, std::nullopt);
  plan.secret_names = {"HF_TOKEN"};
  plan.gpus = {.mode = launch::GpuMode::kNone, .count = 1, .ids = {}};
  plan.platform_options = {{"dedicated-node-group", "h100"}};
  return plan;
}

LeptonConfig ShortConfig() {
  LeptonConfig config = Config();
  config.create_timeout = absl::Milliseconds(100);
  config.environment = [](const std::string& name) {
    return name == "NGC_KEY" ? std::optional<std::string>("ngc-key-value")
                             : Config().environment(name);
  };
  return config;
}

// A workspace that keeps what it is told, where one call hangs once, as soon as it was done or
// before.
struct Workspace {
  std::string hangs;     // the call
  bool is_done = false;  // what hangs has been done all the same
  std::function<void()> on_hang;
  bool endpoint = false;
  std::set<std::string> secrets = {"TAO_OLD_333333333333"};

  std::optional<absl::StatusOr<io::HttpResponse>> Answer(const std::string& call) {
    const bool hang = call == hangs && std::exchange(hangs, "") == call;
    if (hang && !is_done) return Hang();
    auto answer = Do(call);
    return hang ? Hang() : answer;
  }
  std::optional<absl::StatusOr<io::HttpResponse>> Hang() {
    on_hang();
    return std::nullopt;
  }
  std::optional<absl::StatusOr<io::HttpResponse>> Do(const std::string& call) {
    if (call == "GET /workspace") return Say(200);
    if (call == "GET /dedicated-node-groups") {
      return Say(200, R"([{"metadata":{"id":"ng-1","name":"h100"}}])");
    }
    if (call.starts_with("GET /shapes")) {
      return Say(200, R"([{"metadata":{"id":"cpu.small"},"spec":{}}])");
    }
    if (call == "GET /imagepullsecrets") return Say(200, "[]");
    if (call == "POST /imagepullsecrets") return Say(201);
    if (call == "GET /usersecrets") {
      std::string names;
      for (const std::string& name : secrets) names += (names.empty() ? "\"" : ",\"") + name + "\"";
      return Say(200, "[" + names + "]");
    }
    if (call == "POST /usersecrets") {
      secrets.insert("TAO_HF_TOKEN_333333333333");
      return Say(200);
    }
    if (call.starts_with("DELETE /usersecrets/")) {
      return Say(secrets.erase(call.substr(call.rfind('/') + 1)) == 1 ? 200 : 404);
    }
    if (call == "POST /deployments") return Say(std::exchange(endpoint, true) ? 409 : 201);
    if (!endpoint) return Say(404, R"({"message":"not found"})");
    if (call == "DELETE " + kEndpoint) {
      endpoint = false;
      return Say(200);
    }
    if (call == "GET " + kEndpoint + "/readiness") return Say(200);
    if (call != "GET " + kEndpoint) return Say(404);
    return Say(200, R"({"metadata":{"name":"x"},"status":{"state":"Starting"}})");
  }
};

struct Phase {
  const char* name;
  std::string hangs;
  bool is_done = false;
};

class StopDuringStartTest : public testing::TestWithParam<Phase> {};

TEST_P(StopDuringStartTest, EndsItAtOnceAndLeavesNothing) {
  Workspace workspace{.hangs = GetParam().hangs, .is_done = GetParam().is_done};
  Session session;
  workspace.on_hang = [&session] { session.token.Cancel(); };
  FakeWorkspace http([&workspace](const std::string& call, const io::HttpRequest&) {
    return workspace.Answer(call);
  });
  LeptonPlatform lepton(http, ShortConfig());
  const absl::Time begin = absl::Now();
  const absl::Status ended = lepton.Launch(Plan(), session).status();
  EXPECT_TRUE(absl::IsCancelled(ended)) << ended;
  EXPECT_LT(absl::Now() - begin, absl::Seconds(3));
  EXPECT_EQ(workspace.hangs, "") << "it came as far as that";

  Session stop;
  ASSERT_TRUE(lepton.Stop({.job_id = kJobId, .driver_state = session.saved}, {}, stop).ok());
  EXPECT_FALSE(workspace.endpoint);
  if (!session.saved.empty()) {
    EXPECT_THAT(workspace.secrets, IsEmpty());
  }
}

INSTANTIATE_TEST_SUITE_P(Phases, StopDuringStartTest,
                         testing::ValuesIn<Phase>({
                             {"TheWorkspace", "GET /workspace"},
                             {"AnEndpointOfOurName", "GET " + kEndpoint},
                             {"TheNodeGroups", "GET /dedicated-node-groups"},
                             {"TheShapes", "GET /shapes?node_groups=ng-1&purpose=deployment"},
                             {"TheImagePullSecrets", "GET /imagepullsecrets"},
                             {"TheImagePullSecret", "POST /imagepullsecrets"},
                             {"TheSecrets", "GET /usersecrets"},
                             {"AnOldSecret", "DELETE /usersecrets/TAO_OLD_333333333333"},
                             {"TheSecret", "POST /usersecrets"},
                             {"TheSecretThatWasMade", "POST /usersecrets", true},
                             {"TheEndpoint", "POST /deployments"},
                             {"TheEndpointThatWasMade", "POST /deployments", true},
                             {"TheWait", "GET " + kEndpoint + "/readiness"},
                         }),
                         [](const auto& phase) { return phase.param.name; });

// The next daemon goes on with it.
TEST(DaemonsEndDuringStopTest, IsNotHeldUp) {
  for (const std::string& hangs : {"DELETE " + kEndpoint, "GET " + kEndpoint}) {
    Workspace workspace{.hangs = hangs, .endpoint = true};
    Session stop;
    workspace.on_hang = [&stop] { stop.token.Cancel(); };
    FakeWorkspace http([&workspace](const std::string& call, const io::HttpRequest&) {
      return workspace.Answer(call);
    });
    LeptonPlatform lepton(http, ShortConfig());
    const PlatformJob job = {.job_id = kJobId,
                             .driver_state = {{"workspace", kWorkspaceUrl},
                                              {"api", "deployments"},
                                              {"name", kName},
                                              {"token", "token-of-the-endpoint"},
                                              {"created", "1"}}};
    EXPECT_TRUE(absl::IsCancelled(lepton.Stop(job, {}, stop))) << hangs;
    Session next;
    EXPECT_TRUE(lepton.Stop(job, {}, next).ok());
    EXPECT_FALSE(workspace.endpoint);
  }
}

}  // namespace
}  // namespace tao::platforms
