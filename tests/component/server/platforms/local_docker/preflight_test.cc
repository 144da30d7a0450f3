// What must hold before a start, and what is said when it does not.

#include "server/platforms/preflight.h"
#include "tests/component/server/platforms/local_docker/docker_fixture.h"

namespace tao::platforms {
namespace {

using testing::HasSubstr;

class PreflightTest : public LocalDockerTest {
 protected:
  absl::Status Preflight() {
    Restart();
    return platforms::Preflight(*platform_, plan_, absl::Seconds(10));
  }
  void ExpectRefused(const std::string& advice) {
    const absl::Status status = Preflight();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(Message(status), HasSubstr(advice));
  }
};

TEST_F(PreflightTest, AnEngineOfThisHostWithoutAGpuIsEnoughForModeNone) {
  const absl::Status status = Preflight();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(PreflightTest, DockerMustBeThere) {
  std::filesystem::remove(PathOf("docker"));
  ExpectRefused("apt-get install docker.io");
}

TEST_F(PreflightTest, DockerMustBeNewEnough) {
  Write("version", "Docker version 19.03.1, build x\n");
  ExpectRefused("20.10 or newer");
}

TEST_F(PreflightTest, AnEngineThatIsDownCouldNotBeAsked) {
  Write("down", "");
  const absl::Status status = Preflight();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("systemctl start docker"));
}

TEST_F(PreflightTest, ARemoteEngineIsRefusedHoweverItWasChosen) {
  Write("context", "ssh://me@far\n");
  ExpectRefused("docker context use default");
  Write("context", "unix:///run/x.sock\n");
  environment_["DOCKER_HOST"] = "tcp://far:2375";
  ExpectRefused("Unset DOCKER_HOST");
  // It wins over the context.
  Write("context", "ssh://me@far\n");
  environment_["DOCKER_HOST"] = "unix:///run/x.sock";
  EXPECT_TRUE(Preflight().ok());
}

TEST_F(PreflightTest, ANetworkThatCannotPublishIsRefused) {
  environment_["DOCKER_NETWORK"] = "host";
  ExpectRefused("DOCKER_NETWORK");
}

TEST_F(PreflightTest, AutoWithoutAGpuSaysHowToStartWithoutOne) {
  plan_.gpus.mode = launch::GpuMode::kAuto;
  ExpectRefused("--gpu-mode none");
  EXPECT_TRUE(absl::IsFailedPrecondition(platform_->GpuIds(plan_.gpus).status()));
}

}  // namespace
}  // namespace tao::platforms
