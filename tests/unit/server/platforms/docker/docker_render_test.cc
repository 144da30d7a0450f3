#include "server/platforms/docker/docker_render.h"

#include <gmock/gmock.h>

namespace tao::platforms {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

launch::LaunchPlan Plan() {
  launch::LaunchPlan plan;
  plan.job_id = "job-1";
  plan.image = "nvcr.io/x:1";
  plan.inner_command = launch::InnerCommand({"serve", "--port", "0", "'a b'"}, 2);
  plan.env = {{"TAO_EXECUTION_BACKEND", "local-docker"}, {"HF_HOME", "/cache"}};
  plan.secret_names = {"HF_TOKEN", "NOT_SET"};
  plan.mounts = {{.source = "/data/x", .destination = "/models/x", .read_only = true}};
  return plan;
}

DockerRunContext Context() {
  return {.daemon_id = "daemon-1",
          .network = "tao_default",
          .host_port = 8083,
          .gpu_ids = {},
          .tegra = false,
          .secret_names = {"HF_TOKEN"}};
}

TEST(RenderRunTest, IsTheWholeCommandAndASecretIsOnlyAName) {
  EXPECT_THAT(
      RenderRun(Plan(), Context()),
      ElementsAre("run", "--detach", "--init", "--name", "job-1", "--label", "tao-job=job-1",
                  "--label", "tao-daemon=daemon-1", "--shm-size", "16g", "--network", "tao_default",
                  "--publish", "127.0.0.1:8083:8080", "-e", "TAO_EXECUTION_BACKEND=local-docker",
                  "-e", "HF_HOME=/cache", "-e", "HF_TOKEN", "--mount",
                  "type=bind,source=/data/x,target=/models/x,readonly", "--entrypoint", "/bin/bash",
                  "nvcr.io/x:1", "-c", "umask 0 && serve --port 8080 'a b'"));
}

TEST(RenderRunTest, AnAddressWithColonsIsInBrackets) {
  DockerRunContext context = Context();
  context.publish_address = "fd00::2";
  EXPECT_THAT(RenderRun(Plan(), context), Contains("[fd00::2]:8083:8080"));
}

TEST(RenderGpuQueryTest, AsksInAContainerThatLeavesNothing) {
  EXPECT_THAT(RenderGpuQuery("nvcr.io/x:1"),
              ElementsAre("run", "--rm", "--runtime=nvidia", "--gpus", "all", "--network", "none",
                          "--entrypoint", "nvidia-smi", "nvcr.io/x:1",
                          "--query-gpu=index,uuid,memory.used", "--format=csv,noheader,nounits"));
}

TEST(RenderRunTest, LeasedGpusAreNamedAndNoneMeansNoFlag) {
  DockerRunContext context = Context();
  EXPECT_THAT(RenderRun(Plan(), context), Not(Contains("--gpus")));
  context.gpu_ids = {"0", "2"};
  EXPECT_THAT(RenderRun(Plan(), context), Contains("\"device=0,2\""));
}

TEST(RenderRunTest, OnJetsonTheRuntimeGivesTheGpu) {
  DockerRunContext context = Context();
  context.gpu_ids = {"0"};
  context.tegra = true;
  const std::vector<std::string> arguments = RenderRun(Plan(), context);
  EXPECT_THAT(arguments, Not(Contains("--gpus")));
  EXPECT_THAT(arguments, Contains("--runtime=nvidia"));
  EXPECT_THAT(arguments, Contains("NVIDIA_VISIBLE_DEVICES=0"));
  EXPECT_THAT(arguments, Contains("NVIDIA_DRIVER_CAPABILITIES=all"));
}

TEST(RenderGpusTest, AListNeedsQuotesThatArePartOfTheArgument) {
  EXPECT_EQ(RenderGpus({"3"}), "device=3");
  EXPECT_EQ(RenderGpus({"0", "2"}), "\"device=0,2\"");
  EXPECT_EQ(RenderGpus({"GPU-a", "GPU-b"}), "\"device=GPU-a,GPU-b\"");
}

TEST(RenderMountTest, PathsAreCsvFields) {
  EXPECT_EQ(RenderMount({.source = "/a", .destination = "/b", .read_only = false}),
            "type=bind,source=/a,target=/b");
  EXPECT_EQ(RenderMount({.source = "/a,ro", .destination = "/b\"c", .read_only = true}),
            "type=bind,\"source=/a,ro\",\"target=/b\"\"c\",readonly");
}

TEST(RenderLogsTest, ANegativeTailIsAllOfIt) {
  EXPECT_THAT(RenderLogs("job-1", 200, false), ElementsAre("logs", "--tail", "200", "job-1"));
  EXPECT_THAT(RenderLogs("job-1", -1, true),
              ElementsAre("logs", "--tail", "all", "--follow", "job-1"));
}

TEST(RenderInspectTest, NeverAsksForTheEnvironment) {
  for (const std::string& argument : RenderInspect({"job-1"})) {
    EXPECT_EQ(argument.find("Env"), std::string::npos) << argument;
  }
  EXPECT_THAT(RenderInspect({"job-1"}), Contains("--format"));
}

TEST(RenderNetworkTest, OursCarriesTheDaemonsLabel) {
  EXPECT_THAT(RenderNetworkCreate("tao_default", "daemon-1"),
              ElementsAre("network", "create", "--label", "tao-daemon=daemon-1", "tao_default"));
  EXPECT_THAT(RenderFindOurs("daemon-1"), Contains("label=tao-daemon=daemon-1"));
}

}  // namespace
}  // namespace tao::platforms
