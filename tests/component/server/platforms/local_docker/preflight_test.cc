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
  CheckItem Item(const std::string& name) {
    Restart();
    for (const CheckItem& item :
         platform_->Check({.options = plan_.platform_options, .gpus = plan_.gpus, .plan = &plan_},
                          absl::Seconds(10))) {
      if (item.name == name) return item;
    }
    ADD_FAILURE() << "no item " << name;
    return {};
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

TEST_F(PreflightTest, AnEngineOnAnotherHostIsNamedHoweverItWasChosen) {
  Write("context", "lab ssh://me@far\n");
  EXPECT_THAT(Item("engine-host").message, HasSubstr("ssh://me@far, an engine on another host"));
  EXPECT_EQ(Item("engine-host").outcome, CheckItem::Outcome::kOk);
  Write("context", "default unix:///run/x.sock\n");
  environment_["DOCKER_HOST"] = "ssh://you@farther";
  EXPECT_THAT(Item("engine-host").message, HasSubstr("ssh://you@farther"));
  // It wins over the context.
  Write("context", "lab ssh://me@far\n");
  environment_["DOCKER_HOST"] = "unix:///run/x.sock";
  EXPECT_EQ(Item("engine-host").message, "unix:///run/x.sock");
}

TEST_F(PreflightTest, AnEngineWithoutATunnelNeedsAnAddress) {
  environment_["DOCKER_HOST"] = "tcp://far:2375";
  ExpectRefused("--publish-address 0.0.0.0");
  plan_.platform_options = {{"publish-address", "0.0.0.0"}};
  EXPECT_TRUE(Preflight().ok());
  EXPECT_EQ(Item("engine-host").outcome, CheckItem::Outcome::kWarning);
  EXPECT_THAT(Item("engine-host").message, HasSubstr("Without TLS"));
  environment_["DOCKER_TLS_VERIFY"] = "1";
  EXPECT_EQ(Item("engine-host").outcome, CheckItem::Outcome::kOk);
}

TEST_F(PreflightTest, AnEngineOnAnotherHostHasNoNetworkOfOurs) {
  environment_["DOCKER_HOST"] = "ssh://me@far";
  reach_ = DockerReach::kNetwork;
  ExpectRefused("without --reach network");
}

TEST_F(PreflightTest, WhatSshSaysHasItsAdvice) {
  environment_["DOCKER_HOST"] = "ssh://me@far";
  std::filesystem::create_directory(PathOf("far"));
  const auto says = [this](const std::string& err, int code) {
    Write("far/lost",
          "error during connect: Get \"http://docker.example.com/v1.50/version\": command [ssh -o "
          "ConnectTimeout=30 -T -l me -- far docker system dial-stdio] has exited with exit "
          "status " +
              std::to_string(code) +
              ", make sure the URL is valid, and Docker 18.09 or later is installed on the remote "
              "host: stderr=" +
              err + "\n");
    const absl::Status status = Preflight();
    EXPECT_THAT(Message(status), HasSubstr("ssh://me@far"));
    return Message(status);
  };
  EXPECT_THAT(says("Host key verification failed.", 255),
              HasSubstr("add it once by hand: ssh me@far"));
  EXPECT_THAT(says("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification "
                   "failed.",
                   255),
              HasSubstr("ssh-keygen -R far"));
  EXPECT_THAT(says("me@far: Permission denied (publickey).", 255), HasSubstr("ssh-add -l"));
  EXPECT_THAT(says("ssh: Could not resolve hostname far: Name or service not known", 255),
              HasSubstr("Check the name"));
  EXPECT_THAT(says("ssh: connect to host far port 22: Connection refused", 255),
              HasSubstr("Is the host up"));
  EXPECT_THAT(says("ssh: connect to host far port 22: Connection timed out", 255),
              HasSubstr("Is the host up"));
  EXPECT_THAT(says("sh: 1: docker: not found", 127), HasSubstr("install it there"));
}

TEST_F(PreflightTest, AnEngineOnAnotherHostNeedsTheNvidiaRuntimeForGpus) {
  environment_["DOCKER_HOST"] = "ssh://me@far";
  std::filesystem::create_directory(PathOf("far"));
  Write("far/runtimes", "{\"io.containerd.runc.v2\":{\"path\":\"runc\"}}\n");
  EXPECT_TRUE(Preflight().ok());
  plan_.gpus.mode = launch::GpuMode::kAuto;
  ExpectRefused("nvidia-ctk runtime configure --runtime=docker");
  Write("far/runtimes", "{\"nvidia\":{\"path\":\"nvidia-container-runtime\"}}\n");
  EXPECT_TRUE(Preflight().ok());
}

TEST_F(PreflightTest, AnAddressIsForAnEngineOnAnotherHost) {
  plan_.platform_options = {{"publish-address", "0.0.0.0"}};
  ExpectRefused("Leave it out");
  EXPECT_TRUE(platform_->CheckOptions(plan_.platform_options).ok());
  EXPECT_TRUE(platform_->CheckOptions({{"publish-address", "fd00::2"}}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(platform_->CheckOptions({{"publish-address", "far"}})));
}

TEST_F(PreflightTest, ANetworkThatCannotPublishIsRefused) {
  environment_["DOCKER_NETWORK"] = "host";
  ExpectRefused("DOCKER_NETWORK");
}

TEST_F(PreflightTest, AJetsonIsFoundByAutoAndRefusesDeviceIds) {
  plan_.gpus.mode = launch::GpuMode::kTegra;
  ExpectRefused("Use --gpu-mode device or auto");  // it is none
  Write("tegra", "# R36 (release), REVISION: 3.0\n");
  EXPECT_TRUE(Preflight().ok());
  plan_.gpus.mode = launch::GpuMode::kAuto;
  EXPECT_TRUE(Preflight().ok());
  EXPECT_EQ(*platform_->GpuIds(plan_.gpus), std::vector<std::string>{"0"});
  plan_.gpus.mode = launch::GpuMode::kDevice;
  ExpectRefused("--gpu-mode tegra or auto");
}

TEST_F(PreflightTest, AutoWithoutAGpuSaysHowToStartWithoutOne) {
  plan_.gpus.mode = launch::GpuMode::kAuto;
  ExpectRefused("--gpu-mode none");
  EXPECT_TRUE(absl::IsFailedPrecondition(platform_->GpuIds(plan_.gpus).status()));
}

}  // namespace
}  // namespace tao::platforms
