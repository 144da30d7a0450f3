// An engine on another host: every call names it, and what it publishes is reached by a tunnel or
// at an address.

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "server/io/file.h"
#include "server/platforms/port_check.h"
#include "tests/component/server/platforms/local_docker/docker_fixture.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kFar[] = "ssh://me@far:2222";

// Listens where -L says, as ssh does; or says FOLDER/ssh_fails and ends.
constexpr char kSshScript[] = R"SCRIPT(
printf '%s\n' "$*" >> "$folder/ssh_calls"
[ ! -e "$folder/ssh_fails" ] || { cat "$folder/ssh_fails" >&2; exit 255; }
while [ "$1" != -L ]; do shift; done
port=${2#*:}; port=${port%%:*}
exec /usr/bin/python3 -c "
import socket, signal
s = socket.create_server(('127.0.0.1', $port))
signal.pause()"
)SCRIPT";

// A socket that listens on loopback, or a port that was free a moment ago.
class Port {
 public:
  explicit Port(bool listens) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    if (listens) {
      EXPECT_EQ(listen(fd_.get(), 5), 0);
    }
    number_ = ntohs(address.sin_port);
    if (!listens) fd_ = io::UniqueFd();
  }
  int number() const { return number_; }

 private:
  io::UniqueFd fd_;
  int number_ = 0;
};

class RemoteEngineTest : public LocalDockerTest {
 protected:
  void SetUp() override {
    LocalDockerTest::SetUp();
    const std::string ssh = PathOf("ssh");
    std::ofstream(ssh) << "#!/bin/bash\nfolder=" << folder_ << kSshScript;
    ASSERT_EQ(chmod(ssh.c_str(), 0755), 0);
    std::filesystem::create_directory(PathOf("far"));
    Write("far/image", "");
    Write("far/runtimes", "{\"runc\":{},\"nvidia\":{\"path\":\"nvidia-container-runtime\"}}\n");
    environment_["DOCKER_HOST"] = kFar;
    session_.ports = {Port(/*listens=*/false).number(), Port(/*listens=*/false).number()};
  }

  // Engines that docker was called for since the last time, each once, with what it was asked.
  std::vector<std::string> Asked() {
    std::istringstream lines(Read("engines"));
    std::vector<std::string> asked;
    for (std::string line; std::getline(lines, line);) {
      const std::string engine = line.substr(0, line.find('|'));
      if (std::find(asked.begin(), asked.end(), engine) == asked.end()) asked.push_back(engine);
    }
    std::filesystem::remove(PathOf("engines"));
    return asked;
  }
  PlatformJob Started() {
    const auto job = platform_->Launch(plan_, session_);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? *job : PlatformJob();
  }
  bool TunnelListens(const PlatformJob& job) {
    const absl::Time limit = absl::Now() + absl::Seconds(5);
    while (!tunnels_.StateOf(job.job_id).ok() && absl::Now() < limit) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    return tunnels_.StateOf(job.job_id).ok() && !CheckPortIsFree(job.host_port).ok();
  }
};

TEST_F(RemoteEngineTest, AServiceIsPublishedThereOnLoopbackAndReachedByATunnel) {
  const PlatformJob job = Started();
  EXPECT_THAT(Asked(), ElementsAre(std::string("--host ") + kFar));
  EXPECT_THAT(session_.instances, Contains(kFar));
  EXPECT_EQ(job.instance_port, 8100);
  EXPECT_EQ(job.host_port, session_.ports.front());
  EXPECT_THAT(Read("calls"), HasSubstr("--publish 127.0.0.1:8100:8080"));
  EXPECT_EQ(job.driver_state.at("engine"), kFar);
  EXPECT_THAT(session_.calls, ElementsAre("save", "begin create-network", "end create-network",
                                          "begin run-container", "end run-container",
                                          "begin open-tunnel", "end open-tunnel"));
  EXPECT_TRUE(TunnelListens(job));
  const std::string forward =
      "-L 127.0.0.1:" + std::to_string(job.host_port) + ":127.0.0.1:8100 -- me@far";
  EXPECT_THAT(Read("ssh_calls"), HasSubstr(forward));
  EXPECT_THAT(Read("ssh_calls"), HasSubstr("StrictHostKeyChecking=yes"));
  EXPECT_THAT(Read("ssh_calls"), HasSubstr("Port=2222"));
  const Platform::Endpoint endpoint = platform_->EndpointOf(job);
  EXPECT_EQ(endpoint.host_url, "http://localhost:" + std::to_string(job.host_port));
  EXPECT_EQ(endpoint.backend.host, "127.0.0.1");
  EXPECT_EQ(endpoint.instance_id, kFar);
}

TEST_F(RemoteEngineTest, WhoeverSwitchesTheEngineLosesNoService) {
  const PlatformJob far = Started();
  environment_["DOCKER_HOST"] = "unix:///run/other.sock";
  EXPECT_EQ(platform_->Observe(far)->state, State::kRunning);
  Asked();
  Lines lines;
  EXPECT_TRUE(platform_->StreamLogs(far, {}, lines, session_.token).ok());
  ASSERT_TRUE(platform_->Stop(far, {}, session_).ok());
  EXPECT_THAT(Asked(), ElementsAre(std::string("--host ") + kFar));
  EXPECT_FALSE(Exists("far/container"));

  // And the other way round, for a service of this host.
  Write("image", "");
  Session here;
  const auto local = platform_->Launch(plan_, here);
  ASSERT_TRUE(local.ok()) << local.status();
  environment_["DOCKER_HOST"] = kFar;
  EXPECT_EQ(platform_->Observe(*local)->state, State::kRunning);
  EXPECT_THAT(Asked(), Contains("--host unix:///run/other.sock"));
}

TEST_F(RemoteEngineTest, ALaunchThatGoesOnStaysWhereItBegan) {
  Started();
  tunnels_.Close(kJobId);
  environment_["DOCKER_HOST"] = "unix:///run/other.sock";
  Restart();
  const PlatformJob again = Started();  // the container runs: it is found, on the engine it is on
  EXPECT_EQ(Calls("run --detach"), 1);
  EXPECT_EQ(again.instance_port, 8100);
  EXPECT_TRUE(TunnelListens(again));
}

TEST_F(RemoteEngineTest, AnEngineThatCannotBeReachedIsNeverReadAsGone) {
  const PlatformJob job = Started();
  for (const char* words :
       {"error during connect: Get \"http://docker.example.com/v1.50/containers/x/json\": command "
        "[ssh -l me -p 2222 -- far docker system dial-stdio] has exited with exit status 255, make "
        "sure the URL is valid, and Docker 18.09 or later is installed on the remote host: "
        "stderr=ssh: connect to host far port 2222: Connection refused",
        "Cannot connect to the Docker daemon at http://docker.example.com. Is the docker daemon "
        "running?"}) {
    Write("far/lost", words);
    const auto state = platform_->Observe(job);
    EXPECT_TRUE(absl::IsUnavailable(state.status())) << words;
    EXPECT_THAT(Message(state.status()), HasSubstr(kFar));
    EXPECT_TRUE(absl::IsUnavailable(platform_->Stop(job, {}, session_)));
    EXPECT_TRUE(Exists("far/container"));
  }
}

TEST_F(RemoteEngineTest, AContextWithCertificatesIsAskedByItsName) {
  environment_.clear();
  Write("context", "lab tcp://far:2376 {\"docker\":[\"ca.pem\"]}\n");
  const Port listener(/*listens=*/true);
  session_.instance_port = listener.number();
  plan_.platform_options = {{"publish-address", "127.0.0.1"}};
  EXPECT_TRUE(absl::IsFailedPrecondition(platform_->Launch(plan_, session_).status()));
  for (const char* file : {"context", "context-lab"}) {
    Write(file, "lab tcp://localhost:2376 {\"docker\":[\"ca.pem\"]}\n");
  }
  Asked();
  const PlatformJob job = Started();
  EXPECT_THAT(Asked(), ElementsAre("", "--context lab"));  // which context it is was asked first
  EXPECT_EQ(job.driver_state.at("context"), "lab");
  const Platform::Endpoint endpoint = platform_->EndpointOf(job);
  EXPECT_EQ(endpoint.host_url, "http://127.0.0.1:" + std::to_string(listener.number()));
  EXPECT_EQ(endpoint.backend.port, listener.number());

  // Somebody makes it mean another engine, which has no such container; or removes it.
  std::filesystem::remove(PathOf("far/container"));
  Write("context-lab", "lab tcp://elsewhere:2376 {\"docker\":[\"ca.pem\"]}\n");
  EXPECT_TRUE(absl::IsUnavailable(platform_->Observe(job).status()));
  EXPECT_THAT(Message(platform_->Observe(job).status()), HasSubstr("docker context update"));
  std::filesystem::remove(PathOf("context-lab"));
  EXPECT_TRUE(absl::IsUnavailable(platform_->Observe(job).status()));
  Write("context-lab", "lab tcp://localhost:2376 {\"docker\":[\"ca.pem\"]}\n");
  EXPECT_EQ(platform_->Observe(job)->state, State::kGone);
}

TEST_F(RemoteEngineTest, APortThatIsTakenThereMovesOnThere) {
  Write("far/run_failures", "Bind for 127.0.0.1:8100 failed: port is already allocated.\n");
  const PlatformJob job = Started();
  EXPECT_EQ(job.instance_port, 8101);
  EXPECT_THAT(session_.calls, Not(Contains("next port")));
  EXPECT_THAT(Read("ssh_calls"), HasSubstr(":127.0.0.1:8101"));
}

TEST_F(RemoteEngineTest, APortThatIsTakenHereMovesOnHere) {
  const Port other(/*listens=*/true);
  session_.ports.insert(session_.ports.begin(), other.number());
  const PlatformJob job = Started();
  EXPECT_THAT(session_.calls, Contains("next port"));
  EXPECT_NE(job.host_port, other.number());
  EXPECT_TRUE(TunnelListens(job));
}

TEST_F(RemoteEngineTest, ATunnelThatCannotBeOpenedLeavesNothing) {
  Write("ssh_fails", "Host key verification failed.\n");
  const auto job = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsFailedPrecondition(job.status())) << job.status();
  EXPECT_THAT(Message(job.status()), HasSubstr("add it once by hand: ssh me@far"));
  EXPECT_FALSE(Exists("far/container"));
  EXPECT_TRUE(absl::IsNotFound(tunnels_.StateOf(kJobId)));
}

TEST_F(RemoteEngineTest, AfterARestartTheTunnelIsOpenedAgainAndStopClosesIt) {
  const PlatformJob job = Started();
  tunnels_.Close(kJobId);  // as the end of the daemon does
  Restart();
  platform_->Adopt(job);
  EXPECT_TRUE(TunnelListens(job));
  session_.calls.clear();
  ASSERT_TRUE(platform_->Stop(job, {}, session_).ok());
  EXPECT_EQ(session_.calls.front(), "begin close-tunnel");
  EXPECT_TRUE(CheckPortIsFree(job.host_port).ok());
  EXPECT_FALSE(Exists("far/container"));
  EXPECT_FALSE(Exists("far/network"));
}

TEST_F(RemoteEngineTest, AnAddressThatTakesConnectionsIsTheEndpointItself) {
  const Port listener(/*listens=*/true);
  environment_["DOCKER_HOST"] = "tcp://localhost:2375";
  session_.instance_port = listener.number();
  plan_.platform_options = {{"publish-address", "0.0.0.0"}};
  const PlatformJob job = Started();
  EXPECT_THAT(Read("calls"), HasSubstr("--publish 0.0.0.0:"));
  const Platform::Endpoint endpoint = platform_->EndpointOf(job);
  const std::string port = std::to_string(listener.number());
  EXPECT_EQ(endpoint.host_url, "http://localhost:" + port);
  EXPECT_EQ(endpoint.backend.authority, "localhost:" + port);
  EXPECT_EQ(endpoint.backend.host, "127.0.0.1");
  EXPECT_FALSE(Exists("ssh_calls"));
}

TEST_F(RemoteEngineTest, AnAddressThatTakesNoneIsAnErrorOrATunnel) {
  session_.instance_port = Port(/*listens=*/false).number();
  plan_.platform_options = {{"publish-address", "0.0.0.0"}};
  environment_["DOCKER_HOST"] = "tcp://localhost:2375";
  const auto refused = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_THAT(Message(refused.status()), HasSubstr("firewall"));
  EXPECT_FALSE(Exists("far/container"));

  session_.saved.clear();
  environment_["DOCKER_HOST"] = "ssh://me@localhost";
  const PlatformJob job = Started();
  EXPECT_TRUE(TunnelListens(job));
  EXPECT_EQ(platform_->EndpointOf(job).host_url,
            "http://localhost:" + std::to_string(job.host_port));
}

TEST_F(RemoteEngineTest, ItsGpusAreAskedInAContainerAndNotSharedWithThoseOfThisHost) {
  plan_.gpus = {.mode = launch::GpuMode::kAuto, .count = 2, .ids = {}};
  // None is leased of this host.
  const auto leased = platform_->GpuIds(plan_.gpus);
  ASSERT_TRUE(leased.ok()) << leased.status();
  EXPECT_TRUE(leased->empty());
  Write("far/gpus", "0, GPU-a, 900\n1, GPU-b, 10\n2, GPU-c, 0\n3, GPU-d, 5\n");
  Write("far/taken", "2\n");
  Started();
  EXPECT_THAT(Read("calls"),
              HasSubstr("run --rm --runtime=nvidia --gpus all --network none --entrypoint "
                        "nvidia-smi registry.test/x:1 --query-gpu=index,uuid,memory.used"));
  EXPECT_THAT(Read("calls"), HasSubstr("--label tao-gpus=3,1"));
  EXPECT_THAT(Read("calls"), HasSubstr("--gpus \"device=3,1\""));

  // Before the label of the first shows, its GPUs are known to be gone.
  std::filesystem::remove(PathOf("far/container"));
  plan_.job_id = "44444444-4444-4444-8444-444444444444";
  Session second;
  second.ports = {Port(/*listens=*/false).number()};
  const absl::Status none = platform_->Launch(plan_, second).status();
  EXPECT_TRUE(absl::IsResourceExhausted(none)) << none;
  EXPECT_THAT(Message(none), HasSubstr("1 GPUs free"));
}

TEST_F(RemoteEngineTest, ItsFailuresOfGpusHaveTheirAdvice) {
  plan_.gpus = {.mode = launch::GpuMode::kAuto, .count = 1, .ids = {}};
  Write("far/gpus", "No devices were found\n");
  EXPECT_THAT(Message(platform_->Launch(plan_, session_).status()), HasSubstr("--gpu-mode tegra"));
  Write("far/gpus", "");
  Write("far/gpus_fail",
        "docker: Error response from daemon: unknown or invalid runtime name: nvidia.\n");
  EXPECT_THAT(Message(platform_->Launch(plan_, session_).status()),
              HasSubstr("nvidia-ctk runtime configure"));
  EXPECT_FALSE(Exists("far/container"));
  // A Jetson's is in no list; it is asked for by its mode.
  plan_.gpus.mode = launch::GpuMode::kTegra;
  Started();
  EXPECT_THAT(Read("calls"), HasSubstr("--runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=0"));
}

TEST_F(RemoteEngineTest, LeftoversAreLookedForOnEveryEngineOfAService) {
  Started();
  environment_["DOCKER_HOST"] = "unix:///run/other.sock";
  const auto found = platform_->FindOurs();
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 1u);
  // Stop knows where it was found, though it is told nothing else.
  ASSERT_TRUE(platform_->Stop(job_, {}, session_).ok());
  EXPECT_FALSE(Exists("far/container"));
}

TEST_F(RemoteEngineTest, AStopWhileTheWayIsOpenedLeavesTheContainerToTheStop) {
  environment_["DOCKER_HOST"] = "tcp://localhost:2375";
  session_.instance_port = Port(/*listens=*/false).number();
  plan_.platform_options = {{"publish-address", "0.0.0.0"}};
  Restart();
  session_.token.Cancel();
  ContainerIs("running");
  std::filesystem::rename(PathOf("container"), PathOf("far/container"));
  session_.instance_port = 8085;
  const auto job = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsCancelled(job.status())) << job.status();
  EXPECT_TRUE(Exists("far/container"));
}

}  // namespace
}  // namespace tao::platforms
