#include "server/platforms/local_process/local_process_render.h"

#include <gmock/gmock.h>

namespace tao::platforms {
namespace {

using testing::ElementsAre;
using testing::Pair;

launch::LaunchPlan Plan() {
  launch::LaunchPlan plan;
  plan.job_id = "job-1";
  plan.inner_command = launch::InnerCommand({"serve", "--port", "0", "'a b'"}, 2);
  plan.env = {{"TAO_EXECUTION_BACKEND", "local-docker"}, {"HF_HOME", "/cache"}};
  plan.secret_names = {"HF_TOKEN", "NOT_SET"};
  return plan;
}

LocalProcessContext Context() {
  return {.parent_program = "/opt/tao-process-parent",
          .job_folder = "/state/jobs/job-1",
          .daemon_id = "daemon-1",
          .path = "/models/bin:/usr/bin",
          .max_log_bytes = 1000,
          .port = 8081,
          .gpu_ids = {},
          .environment = [](const std::string& name) -> std::optional<std::string> {
            if (name == "HF_TOKEN") return "hf_secret_value";
            if (name == "HOME") return "/home/tao";
            if (name == "SSH_AUTH_SOCK") return "/run/agent";
            return std::nullopt;
          }};
}

TEST(RenderParentTest, ThePortIsInTheCommandAndOfSecretsTheNameAlone) {
  const io::SubprocessOptions options = RenderParent(Plan(), Context());
  EXPECT_THAT(options.argv,
              ElementsAre("/opt/tao-process-parent", "--folder", "/state/jobs/job-1", "--job-id",
                          "job-1", "--daemon-id", "daemon-1", "--port", "8081", "--max-log-bytes",
                          "1000", "--secret", "HF_TOKEN", "--", "/bin/bash", "-c",
                          "umask 0 && serve --port 8081 'a b'"));
}

TEST(RenderParentTest, TheEnvironmentIsThePlansAndThreeNames) {
  const io::SubprocessOptions options = RenderParent(Plan(), Context());
  EXPECT_FALSE(options.inherit_env);
  EXPECT_THAT(options.env, ElementsAre(Pair("HF_HOME", "/cache"), Pair("HOME", "/home/tao"),
                                       Pair("PATH", "/models/bin:/usr/bin"),
                                       Pair("TAO_EXECUTION_BACKEND", "local-docker")));
  ASSERT_EQ(options.secret_env.size(), 1U);
  EXPECT_EQ(options.secret_env.at("HF_TOKEN").Reveal(), "hf_secret_value");
}

TEST(RenderParentTest, LeasedGpusAreTheOnesThatCudaSees) {
  LocalProcessContext context = Context();
  context.gpu_ids = {"3", "0"};
  const io::SubprocessOptions options = RenderParent(Plan(), context);
  EXPECT_EQ(options.env.at("CUDA_VISIBLE_DEVICES"), "3,0");
  EXPECT_EQ(options.env.at("CUDA_DEVICE_ORDER"), "PCI_BUS_ID");
}

TEST(PathOfTest, ThePrefixComesFirstAndEveryPartIsAbsolute) {
  EXPECT_EQ(PathOf("", "/usr/bin:/bin", "/w"), "/usr/bin:/bin");
  EXPECT_EQ(PathOf("/models/bin", "/usr/bin", "/w"), "/models/bin:/usr/bin");
  EXPECT_EQ(PathOf("build/bin:/a:", "/usr/bin", "/w"), "/w/build/bin:/a:/usr/bin");
  EXPECT_EQ(PathOf("", std::nullopt, "/w"), "/usr/local/bin:/usr/bin:/bin");
  EXPECT_EQ(PathOf("", "", "/w"), "/usr/local/bin:/usr/bin:/bin");
  EXPECT_EQ(PathOf("", ":/usr/bin::", "/w"), "/usr/bin");
}

TEST(ProgramOfTest, IsTheFirstWordWhereAShellWouldNotChangeIt) {
  EXPECT_EQ(ProgramOf(launch::InnerCommand({"cosmos-rl", "'x'"}, std::nullopt)), "cosmos-rl");
  EXPECT_EQ(ProgramOf(launch::InnerCommand({"/opt/x"}, std::nullopt)), "/opt/x");
  EXPECT_EQ(ProgramOf(launch::InnerCommand({"'a b'"}, std::nullopt)), std::nullopt);
  EXPECT_EQ(ProgramOf(launch::InnerCommand({"$X"}, std::nullopt)), std::nullopt);
  EXPECT_EQ(ProgramOf(launch::InnerCommand({}, std::nullopt)), std::nullopt);
}

}  // namespace
}  // namespace tao::platforms
