#include "server/platforms/local_docker/local_docker_platform.h"

#include <thread>

#include "tests/component/server/platforms/local_docker/docker_fixture.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr char kSecretValue[] = "hf_planted_secret_value";

// A start that has the image and the network.
class ReadyEngineTest : public LocalDockerTest {
 protected:
  void SetUp() override {
    LocalDockerTest::SetUp();
    Write("image", "");
    NetworkIs(kDaemonId, 1);
  }
};

// Waits until `name` is there: at most 5 s.
bool AppearsSoon(const std::string& path) {
  const absl::Time limit = absl::Now() + absl::Seconds(5);
  while (!std::filesystem::exists(path) && absl::Now() < limit)
    absl::SleepFor(absl::Milliseconds(5));
  return std::filesystem::exists(path);
}

TEST_F(LocalDockerTest, AStartPullsMakesTheNetworkAndRuns) {
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->job_id, kJobId);
  EXPECT_EQ(job->host_port, 8080);
  EXPECT_THAT(session_.calls,
              ElementsAre("save", "begin pull-image", "end pull-image", "begin create-network",
                          "end create-network", "begin run-container", "end run-container"));
  EXPECT_EQ(session_.saved, job->driver_state);
  EXPECT_EQ(session_.told.front(), "pulling registry.test/x:1");
  EXPECT_EQ(session_.told.back(), "pulling registry.test/x:1: 2 of 2 layers");
  EXPECT_EQ(platform_->Observe(*job)->state, State::kRunning);
}

TEST_F(ReadyEngineTest, WhatIsThereIsNeitherPulledNorCreated) {
  ASSERT_TRUE(platform_->Launch(plan_, session_).ok());
  EXPECT_THAT(session_.calls, ElementsAre("save", "begin run-container", "end run-container"));
}

TEST_F(ReadyEngineTest, ASecretReachesRunAloneAndNoArgument) {
  ASSERT_EQ(setenv("HF_TOKEN", kSecretValue, 1), 0);
  ASSERT_EQ(setenv("NGC_KEY", kSecretValue, 1), 0);
  environment_["HF_TOKEN"] = kSecretValue;
  plan_.secret_names = {"HF_TOKEN", "UNSET_SECRET"};
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(platform_->Stop(*job, {}, session_).ok());
  unsetenv("HF_TOKEN");
  unsetenv("NGC_KEY");
  EXPECT_THAT(Read("calls"), Not(HasSubstr(kSecretValue)));
  EXPECT_THAT(Read("calls"), HasSubstr("-e HF_TOKEN "));
  EXPECT_THAT(Read("calls"), Not(HasSubstr("UNSET_SECRET")));
  std::istringstream names(Read("environment"));
  std::vector<std::string> with_token;
  for (std::string line; std::getline(names, line);) {
    EXPECT_THAT(line, Not(HasSubstr("NGC_KEY")));
    if (line.ends_with(" HF_TOKEN")) with_token.push_back(line);
  }
  EXPECT_THAT(with_token, ElementsAre("run HF_TOKEN"));
}

TEST_F(ReadyEngineTest, AContainerOfOursThatRunsIsAdopted) {
  ContainerIs("running");
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->host_port, 8085);
  EXPECT_EQ(Calls("run"), 0);
  EXPECT_EQ(Calls("rm"), 0);
}

TEST_F(ReadyEngineTest, WhatAnUnconfirmedStartLeftIsRemovedFirst) {
  for (const char* status : {"created", "exited", "dead", "restarting"}) {
    ContainerIs(status);
    const auto job = platform_->Launch(plan_, session_);
    ASSERT_TRUE(job.ok()) << status << ": " << job.status();
    EXPECT_EQ(job->host_port, 8080);
  }
  EXPECT_EQ(Calls("run"), 4);
}

TEST_F(ReadyEngineTest, AContainerOfSomebodyElseIsAnErrorAndStays) {
  ContainerIs("exited", kOtherDaemonId);
  const auto job = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsAlreadyExists(job.status())) << job.status();
  EXPECT_TRUE(Exists("container"));
  EXPECT_EQ(Calls("rm"), 0);
}

TEST_F(ReadyEngineTest, APortThatIsTakenMovesOn) {
  Write("run_failures",
        "Bind for 127.0.0.1:8080 failed: port is already allocated.\n"
        "failed to bind host port 127.0.0.1:8081/tcp: address already in use\n");
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->host_port, 8082);
  EXPECT_EQ(Calls("rm"), 2);  // each failed run leaves a container that holds the name
}

TEST_F(ReadyEngineTest, WithoutAnotherPortNothingIsLeft) {
  session_.ports = {8080};
  Write("run_failures", "Bind for 127.0.0.1:8080 failed: port is already allocated.\n");
  const auto job = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsResourceExhausted(job.status())) << job.status();
  EXPECT_FALSE(Exists("container"));
}

TEST_F(ReadyEngineTest, ANetworkThatWentIsMadeAgain) {
  std::filesystem::remove(PathOf("network"));
  Write("run_failures", "docker: Error response from daemon: network tao_default not found.\n");
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(Calls("run"), 2);
}

TEST_F(ReadyEngineTest, AFailedRunIsAnErrorWithAdviceAndNothingIsLeft) {
  Write("run_failures", "could not select device driver \"\" with capabilities: [[gpu]].\n");
  NetworkIs(kDaemonId, 0);
  const auto job = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsFailedPrecondition(job.status())) << job.status();
  EXPECT_THAT(Message(job.status()), HasSubstr("NVIDIA Container Toolkit"));
  EXPECT_FALSE(Exists("container"));
  EXPECT_FALSE(Exists("network"));
}

TEST_F(LocalDockerTest, AFailedPullSaysWhereTheImageCameFrom) {
  Write("pull_fails", "Error response from daemon: manifest unknown\n");
  const auto job = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsNotFound(job.status())) << job.status();
  EXPECT_THAT(Message(job.status()), HasSubstr("registry.test/x:1 (from IMAGE_X)"));
  EXPECT_EQ(Calls("run"), 0);
}

TEST_F(LocalDockerTest, APullIsCancelled) {
  Write("pull_hangs", "");
  std::jthread stop([this] {
    EXPECT_TRUE(AppearsSoon(PathOf("pulling")));
    session_.token.Cancel();
  });
  const auto job = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsCancelled(job.status())) << job.status();
  EXPECT_EQ(Calls("run"), 0);
}

TEST_F(ReadyEngineTest, ACancelledRunLeavesNothing) {
  Write("run_hangs", "");
  std::jthread stop([this] {
    EXPECT_TRUE(AppearsSoon(PathOf("running")));
    session_.token.Cancel();
  });
  const auto job = platform_->Launch(plan_, session_);
  EXPECT_TRUE(absl::IsCancelled(job.status())) << job.status();
  EXPECT_FALSE(Exists("container"));
}

TEST_F(ReadyEngineTest, StopRemovesTheContainerAndTheLastOnesNetwork) {
  ContainerIs("running");
  NetworkIs(kDaemonId, 0);
  const absl::Status stopped = platform_->Stop(job_, {.grace_period = absl::Seconds(7)}, session_);
  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_EQ(Calls("stop -t 7 " + std::string(kJobId)), 1);
  EXPECT_EQ(Calls("rm -f -v " + std::string(kJobId)), 1);
  EXPECT_FALSE(Exists("container"));
  EXPECT_FALSE(Exists("network"));
  EXPECT_THAT(session_.calls,
              ElementsAre("begin end-job", "end end-job", "begin remove-container",
                          "end remove-container", "begin remove-network", "end remove-network"));
  EXPECT_TRUE(platform_->Stop(job_, {}, session_).ok());  // gone already
  EXPECT_EQ(platform_->Observe(job_)->state, State::kGone);
}

TEST_F(ReadyEngineTest, ANetworkThatIsUsedOrOfSomebodyElseStays) {
  ASSERT_TRUE(platform_->Stop(job_, {}, session_).ok());
  NetworkIs(kOtherDaemonId, 0);
  ASSERT_TRUE(platform_->Stop(job_, {}, session_).ok());
  EXPECT_TRUE(Exists("network"));
  EXPECT_EQ(Calls("network rm"), 0);
}

TEST_F(ReadyEngineTest, StopTouchesAnotherToolsContainerOnlyWhenItsEntryWasNamed) {
  ContainerIs("running", kOtherDaemonId);
  EXPECT_EQ(platform_->Observe(job_)->state, State::kGone);
  ASSERT_TRUE(platform_->Stop(job_, {}, session_).ok());
  EXPECT_TRUE(Exists("container"));
  PlatformJob foreign = job_;
  foreign.driver_state["foreign"] = "1";
  EXPECT_EQ(platform_->Observe(foreign)->state, State::kRunning);
  ASSERT_TRUE(platform_->Stop(foreign, {}, session_).ok());
  EXPECT_FALSE(Exists("container"));
}

TEST_F(ReadyEngineTest, AnEngineThatIsDownIsNeverReadAsGone) {
  Write("down", "");
  EXPECT_TRUE(absl::IsUnavailable(platform_->Observe(job_).status()));
  EXPECT_TRUE(absl::IsUnavailable(platform_->Stop(job_, {}, session_)));
  std::filesystem::remove(PathOf("docker"));
  EXPECT_TRUE(absl::IsUnavailable(platform_->Observe(job_).status()));
}

TEST_F(ReadyEngineTest, LogsAreBothStreams) {
  ContainerIs("exited");
  Lines lines;
  const base::CancelToken never;
  const absl::Status read = platform_->StreamLogs(job_, {.tail_lines = 20}, lines, never);
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_THAT(lines.lines, UnorderedElementsAre("to stdout", "to stderr"));
  EXPECT_EQ(Calls("logs --tail 20 "), 1);
  Lines one;
  one.enough = 1;
  EXPECT_TRUE(platform_->StreamLogs(job_, {}, one, never).ok());  // the reader left
  EXPECT_EQ(one.lines.size(), 1U);
  std::filesystem::remove(PathOf("container"));
  EXPECT_TRUE(absl::IsNotFound(platform_->StreamLogs(job_, {}, lines, never)));
}

TEST_F(ReadyEngineTest, FindsWhatCarriesOurLabels) {
  EXPECT_TRUE(platform_->FindOurs()->empty());
  ContainerIs("exited");
  const auto found = platform_->FindOurs();
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(found->front().job_id, kJobId);
  EXPECT_EQ(found->front().state.state, State::kExited);
  EXPECT_EQ(Calls("ps --all --no-trunc --filter label=tao-daemon=" + std::string(kDaemonId)), 2);
}

TEST_F(LocalDockerTest, TheEndpointFollowsTheReach) {
  Platform::Endpoint endpoint = platform_->EndpointOf(job_);
  EXPECT_EQ(endpoint.host_url, "http://localhost:8080");
  EXPECT_EQ(endpoint.docker_url, "http://" + std::string(kJobId) + ":8080");
  EXPECT_EQ(endpoint.backend.host, "127.0.0.1");
  EXPECT_EQ(endpoint.backend.authority, "localhost:8080");
  reach_ = DockerReach::kNetwork;
  Restart();
  endpoint = platform_->EndpointOf({.job_id = kJobId, .host_port = 8085, .driver_state = {}});
  EXPECT_EQ(endpoint.host_url, "http://localhost:8085");
  EXPECT_EQ(endpoint.backend.host, kJobId);
  EXPECT_EQ(endpoint.backend.port, 8080);
}

}  // namespace
}  // namespace tao::platforms
