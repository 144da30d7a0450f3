#include "server/platforms/local_docker/local_docker_engine.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

TEST(IsLocalEngineTest, IsASocketOfThisHost) {
  EXPECT_TRUE(IsLocalEngine(""));
  EXPECT_TRUE(IsLocalEngine("unix:///var/run/docker.sock"));
  EXPECT_TRUE(IsLocalEngine("/var/run/docker.sock"));
  EXPECT_FALSE(IsLocalEngine("ssh://user@host"));
  EXPECT_FALSE(IsLocalEngine("tcp://127.0.0.1:2375"));
}

// As docker 20.10 and 28 print it.
TEST(ParseContextTest, TheHostIsEnoughWithoutCertificates) {
  const auto plain =
      ParseContext("{\"name\":\"default\",\"host\":\"unix:///var/run/docker.sock\",\"tls\":{}}\n");
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->host, "unix:///var/run/docker.sock");
  EXPECT_EQ(plain->context, "");
  const auto far = ParseContext("{\"name\":\"lab\",\"host\":\"ssh://me@far\",\"tls\":null}");
  EXPECT_EQ(far->context, "");
  const auto tls = ParseContext(
      "{\"name\":\"lab\",\"host\":\"tcp://far:2376\",\"tls\":{\"docker\":[\"ca.pem\"]}}");
  EXPECT_EQ(tls->context, "lab");
  EXPECT_TRUE(tls->tls);
  for (const char* text : {"", "null", "[]", "{}", "lab ssh://far"}) {
    EXPECT_TRUE(absl::IsUnavailable(ParseContext(text).status())) << text;
  }
}

TEST(EngineArgumentsTest, NameTheEngineWhateverTheEnvironmentSays) {
  EXPECT_THAT(EngineArguments({}), IsEmpty());
  EXPECT_THAT(EngineArguments({.host = "ssh://far"}), ElementsAre("--host", "ssh://far"));
  EXPECT_THAT(EngineArguments({.host = "tcp://far:2376", .context = "lab"}),
              ElementsAre("--context", "lab"));
  // The certificates of the environment are for an engine of the environment alone.
  EXPECT_THAT(EngineUnsetEnv({}), IsEmpty());
  EXPECT_THAT(EngineUnsetEnv({.host = "tcp://far:2376"}), IsEmpty());
  for (const DockerEngine& engine :
       {DockerEngine{.host = "unix:///x"}, DockerEngine{.host = "ssh://far"},
        DockerEngine{.host = "tcp://far:2376", .context = "lab"}}) {
    EXPECT_THAT(EngineUnsetEnv(engine), Contains("DOCKER_TLS_VERIFY")) << engine.host;
  }
}

struct TargetRow {
  const char* host;
  const char* destination;
  std::vector<std::string> options;
};

TEST(SshTargetOfTest, IsTheUserHostAndPortOfTheUrl) {
  const std::vector<TargetRow> rows = {
      {"ssh://far", "far", {}},
      {"ssh://me@far", "me@far", {}},
      {"ssh://me@far:2222", "me@far", {"Port=2222"}},
      {"ssh://me@far:2222/run/docker.sock", "me@far", {"Port=2222"}},
      {"ssh://me@[fd00::2]:22", "me@fd00::2", {"Port=22"}},
  };
  for (const TargetRow& row : rows) {
    const auto target = SshTargetOf(row.host);
    ASSERT_TRUE(target.ok()) << row.host << ": " << target.status();
    EXPECT_EQ(io::ToString(*target), row.destination) << row.host;
    EXPECT_EQ(target->options, row.options) << row.host;
    EXPECT_TRUE(target->strict_host_keys);
  }
  for (const char* host : {"ssh://", "ssh://me@", "ssh://far:port", "ssh://far:-1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(SshTargetOf(host).status())) << host;
  }
}

struct AccessRow {
  const char* host;
  const char* publish_address;
  // Of what is wanted: "local", "tunnel", "dial NAME"; else a part of the advice.
  const char* want;
};

TEST(AccessToTest, IsTheWayToWhatIsPublishedOrTheAdvice) {
  const std::vector<AccessRow> rows = {
      {"unix:///var/run/docker.sock", "", "local"},
      {"unix:///var/run/docker.sock", "127.0.0.1", "local"},
      {"unix:///var/run/docker.sock", "0.0.0.0", "Leave it out"},
      {"ssh://me@far", "", "tunnel"},
      {"ssh://me@far", "127.0.0.1", "tunnel"},
      {"ssh://me@far", "0.0.0.0", "dial far"},
      {"ssh://me@far", "::", "dial far"},
      {"ssh://me@far", "10.0.0.5", "dial 10.0.0.5"},
      {"ssh://me@far:bad", "", "no address of an engine"},
      {"tcp://far:2376", "", "--publish-address 0.0.0.0"},
      {"far:2375", "", "--publish-address 0.0.0.0"},
      {"tcp://far:2376", "0.0.0.0", "dial far"},
      {"tcp://far:2376", "10.0.0.5", "dial 10.0.0.5"},
      {"tcp://far:2376", "127.0.0.1", "cannot be reached from here"},
      {"tcp://localhost:2375", "127.0.0.1", "dial 127.0.0.1"},
      {"npipe:////./pipe/docker_engine", "", "Use ssh://USER@HOST"},
      {"fd://3", "0.0.0.0", "Use ssh://USER@HOST"},
  };
  for (const AccessRow& row : rows) {
    const auto access = AccessTo({.host = row.host}, row.publish_address, /*by_network=*/false);
    std::string got = Message(access.status());
    if (access.ok()) {
      got = access->local() ? "local" : access->tunnel ? "tunnel" : "dial " + access->dial_host;
      EXPECT_EQ(got, row.want) << row.host << " " << row.publish_address;
      if (!access->dial_host.empty()) {
        EXPECT_EQ(access->publish_address, row.publish_address);
      } else {
        EXPECT_EQ(access->publish_address, "127.0.0.1");
      }
    } else {
      EXPECT_THAT(got, HasSubstr(row.want)) << row.host << " " << row.publish_address;
    }
  }
  EXPECT_TRUE(AccessTo({.host = "unix:///x"}, "", /*by_network=*/true).ok());
  EXPECT_THAT(Message(AccessTo({.host = "ssh://far"}, "", /*by_network=*/true).status()),
              HasSubstr("without --reach network"));
}

TEST(EngineErrorTest, SshsOwnWordsHaveSshsAdviceAndTheEngineIsNamed) {
  // Recorded with docker 28.2.2.
  const std::string words =
      "error during connect: Get \"http://docker.example.com/v1.50/version\": command [ssh -o "
      "ConnectTimeout=30 -T -l root -p 43922 -- far docker system dial-stdio] has exited with exit "
      "status 255, make sure the URL is valid, and Docker 18.09 or later is installed on the "
      "remote "
      "host: stderr=root@far: Permission denied (publickey,keyboard-interactive).\r\n\n";
  const DockerEngine far = {.host = "ssh://root@far:43922"};
  const absl::Status denied = EngineError(far, "docker could not list its containers", 1, words);
  EXPECT_TRUE(absl::IsFailedPrecondition(denied));
  EXPECT_THAT(Message(denied), HasSubstr("on engine \"ssh://root@far:43922\": docker could not"));
  EXPECT_THAT(Message(denied), HasSubstr("ssh-add -l"));
  EXPECT_THAT(Message(denied), Not(HasSubstr("docker.example.com")));
  // What is not ssh's is docker's.
  EXPECT_THAT(Message(EngineError(far, "x", 1, "Error response from daemon: denied: no")),
              HasSubstr("docker login"));
  EXPECT_EQ(Message(EngineError({.host = "unix:///x"}, "x failed", 1, "odd")),
            "x failed: odd (exit code 1 of docker)");
}

TEST(LocalDockerStateTest, IsReadAsItWasWritten) {
  const LocalDockerState state = {.engine = {.host = "tcp://far:2376", .context = "lab"},
                                  .network = "tao_default",
                                  .published = "0.0.0.0",
                                  .address = "far",
                                  .ip = "10.0.0.5"};
  const auto map = state.ToMap("job-1");
  EXPECT_EQ(map.at("container"), "job-1");
  const LocalDockerState read = ToLocalDockerState(map);
  EXPECT_EQ(read.engine, state.engine);
  EXPECT_EQ(read.network, state.network);
  EXPECT_EQ(read.published, state.published);
  EXPECT_EQ(read.address, state.address);
  EXPECT_EQ(read.ip, state.ip);
  EXPECT_TRUE(ToLocalDockerState({{"foreign", "1"}}).engine.host.empty());
}

}  // namespace
}  // namespace tao::platforms
