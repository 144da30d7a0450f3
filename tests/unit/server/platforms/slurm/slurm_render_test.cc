#include "server/platforms/slurm/slurm_render.h"

#include <gmock/gmock.h>

#include "server/io/subprocess.h"

namespace tao::platforms {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kJobId[] = "33333333-3333-4333-8333-333333333333";

launch::LaunchPlan Plan() {
  launch::LaunchPlan plan;
  plan.job_id = kJobId;
  plan.image = "nvcr.io/nvidia/tao:1";
  plan.inner_command = launch::InnerCommand({"serve", "--port", "0", "'a b'"}, 2);
  plan.env = {{"TAO_EXECUTION_BACKEND", "slurm"}, {"HF_HOME", "/ca che"}};
  plan.secret_names = {"HF_TOKEN"};
  plan.mounts = {{.source = "/data/x", .destination = "/models/x", .read_only = true}};
  plan.gpus = {.mode = launch::GpuMode::kAuto, .count = 2, .ids = {}};
  return plan;
}

SlurmSettings Settings() {
  SlurmSettings settings;
  settings.partition = "gpu";
  settings.output_dir = "/lustre/logs";
  return settings;
}

std::string Script(const launch::LaunchPlan& plan, const SlurmSettings& settings) {
  return RenderScript(plan, settings,
                      {.daemon_id = "d1", .node_port = 20001, .secret_names = {"HF_TOKEN"}});
}

TEST(RenderScriptTest, DirectivesAreTheWholeRequest) {
  EXPECT_THAT(Script(Plan(), Settings()),
              StartsWith("#!/bin/bash\n"
                         "#SBATCH --job-name=tao-33333333-3333-4333-8333-333333333333\n"
                         "#SBATCH --comment=tao-daemon=d1\n"
                         "#SBATCH --nodes=1\n"
                         "#SBATCH --ntasks-per-node=1\n"
                         "#SBATCH --gres=gpu:2\n"
                         "#SBATCH --cpus-per-task=16\n"
                         "#SBATCH --time=04:00:00\n"
                         "#SBATCH --partition=gpu\n"
                         "#SBATCH --no-requeue\n"
                         "#SBATCH --output=/lustre/logs/"
                         "tao-33333333-3333-4333-8333-333333333333-%j.log\n"
                         "#SBATCH --open-mode=append\n"));
}

TEST(RenderScriptTest, WhatIsAskedForIsADirective) {
  SlurmSettings settings = Settings();
  settings.account = "ours";
  settings.qos = "high";
  settings.mem = "64G";
  settings.gpu_type = "a100";
  settings.time = absl::Minutes(90);
  const std::string script = Script(Plan(), settings);
  for (const char* directive : {"--account=ours\n", "--qos=high\n", "--mem=64G\n",
                                "--gres=gpu:a100:2\n", "--time=01:30:00\n"}) {
    EXPECT_THAT(script, HasSubstr(std::string("#SBATCH ") + directive));
  }
}

TEST(RenderScriptTest, ANodeOfItsOwnWhereThePortCannotBeChosenUnlessTheOperatorSaysOtherwise) {
  const std::string exclusive = "#SBATCH --exclusive\n";
  launch::LaunchPlan fixed = Plan();
  fixed.inner_command = launch::InnerCommand({"serve"}, std::nullopt);
  EXPECT_THAT(Script(Plan(), Settings()), Not(HasSubstr(exclusive)));
  EXPECT_THAT(Script(fixed, Settings()), HasSubstr(exclusive));
  SlurmSettings settings = Settings();
  settings.exclusive = false;
  EXPECT_THAT(Script(fixed, settings), Not(HasSubstr(exclusive)));
  settings.exclusive = true;
  EXPECT_THAT(Script(Plan(), settings), HasSubstr(exclusive));
}

TEST(RenderScriptTest, TheContainerIsSrunsWithEveryNameThatTheImageMayHaveToo) {
  const std::string script = Script(Plan(), Settings());
  EXPECT_THAT(script, HasSubstr("'--container-image=nvcr.io#nvidia/tao:1'"));
  EXPECT_THAT(script, HasSubstr("--container-mounts=/data/x:/models/x:ro"));
  EXPECT_THAT(script, HasSubstr("--no-container-mount-home"));
  EXPECT_THAT(script, HasSubstr("--container-writable"));
  EXPECT_THAT(script, HasSubstr("--container-env=TAO_EXECUTION_BACKEND,HF_HOME,HF_TOKEN"));
  EXPECT_THAT(script, HasSubstr("export HF_HOME='/ca che'\n"));
  EXPECT_THAT(script, HasSubstr("--cpus-per-task=16"));
  EXPECT_THAT(script, HasSubstr("umask 0 && serve --port 20001"));
  EXPECT_THAT(script, Not(HasSubstr("HF_TOKEN=")));
}

TEST(RenderScriptTest, TheSettingsImageAndMountsComeFirst) {
  SlurmSettings settings = Settings();
  settings.container_image = "/images/tao.sqsh";
  settings.container_mounts = "/lustre:/lustre";
  settings.container_writable = false;
  const std::string script = Script(Plan(), settings);
  EXPECT_THAT(script, HasSubstr("--container-image=/images/tao.sqsh"));
  EXPECT_THAT(script, HasSubstr("--container-mounts=/lustre:/lustre,/data/x:/models/x:ro"));
  EXPECT_THAT(script, HasSubstr("--container-readonly"));
}

TEST(RenderScriptTest, NoGpuIsNoGres) {
  launch::LaunchPlan plan = Plan();
  plan.gpus = {.mode = launch::GpuMode::kNone, .count = 1, .ids = {}};
  const std::string script = Script(plan, Settings());
  EXPECT_THAT(script, Not(HasSubstr("gres")));
  EXPECT_THAT(script, HasSubstr("NVIDIA_VISIBLE_DEVICES=void"));
}

struct ImageCase {
  const char* image;
  const char* want;
};

TEST(EnrootImageTest, ARegistryIsSetOffByItsSign) {
  for (const ImageCase& row : std::vector<ImageCase>{
           {"nvcr.io/nvidia/tao:1", "nvcr.io#nvidia/tao:1"},
           {"localhost:5000/x:1", "localhost:5000#x:1"},
           {"localhost/x", "localhost#x"},
           {"ubuntu:22.04", "ubuntu:22.04"},
           {"library/ubuntu", "library/ubuntu"},
           {"nvcr.io#nvidia/tao:1", "nvcr.io#nvidia/tao:1"},
           {"/images/x.sqsh", "/images/x.sqsh"},
           {"./x.sqsh", "./x.sqsh"},
       }) {
    EXPECT_EQ(EnrootImage(row.image), row.want);
  }
}

TEST(NodePortTest, IsTheSameInEveryDaemonAndAnotherOneForEachTry) {
  const launch::LaunchPlan plan = Plan();
  std::set<int> ports;
  for (int attempt = 0; attempt < 5; ++attempt) {
    const int port = NodePort(plan, attempt);
    EXPECT_EQ(port, NodePort(plan, attempt));
    EXPECT_GE(port, 20000);
    EXPECT_LT(port, 32768) << "Linux gives those out itself";
    ports.insert(port);
  }
  EXPECT_EQ(ports.size(), 5U);
  launch::LaunchPlan fixed = plan;
  fixed.inner_command = launch::InnerCommand({"serve"}, std::nullopt);
  EXPECT_EQ(NodePort(fixed, 0), 8080);
}

// With a program in sbatch's place that shows what it gets.
class SubmitTest : public testing::Test {
 protected:
  io::SubprocessResult Submit(const std::string& input) {
    io::SubprocessOptions options;
    options.argv = {
        "/bin/sh", "-c",
        "sbatch() { echo \"arguments $*\"; printf 'token %s\\n' \"${HF_TOKEN-none}\"; cat; }\n" +
            RenderSubmit(Settings(), /*test_only=*/false)};
    options.inherit_env = false;
    options.env = {{"PATH", "/usr/bin:/bin"}};
    options.stdin_text = input;
    auto result = io::RunSubprocess(options);
    EXPECT_TRUE(result.ok()) << result.status();
    return *std::move(result);
  }
};

TEST_F(SubmitTest, SecretsAreEnvironmentAndTheScriptIsStdin) {
  const std::string script = Script(Plan(), Settings());
  const io::SubprocessResult result = Submit("HF_TOKEN=a b'c$d\\e\n\n" + script);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "arguments --export=ALL --parsable\ntoken a b'c$d\\e\n" + script);
}

TEST_F(SubmitTest, WithoutASecretTheEmptyLineStillEndsThePreamble) {
  const std::string script = Script(Plan(), Settings());
  EXPECT_THAT(Submit("\n" + script).out, HasSubstr("token none\n#!/bin/bash\n"));
}

// The connection may break anywhere: half a script would be a job that nobody finds.
TEST_F(SubmitTest, AScriptThatIsNotWholeIsNotSubmitted) {
  const std::string input = "HF_TOKEN=x\n\n" + Script(Plan(), Settings());
  for (size_t size = 0; size + 1 < input.size(); size += 37) {
    const io::SubprocessResult result = Submit(input.substr(0, size));
    EXPECT_EQ(result.exit_code, kTornInputExit) << size;
    EXPECT_EQ(result.out, "") << size;
  }
}

TEST(RenderStatusTest, AFederationsJobIsAskedAboutAtItsCluster) {
  const std::string command = RenderStatus({.id = "12", .cluster = "east"});
  EXPECT_THAT(command, HasSubstr("squeue --clusters=east --jobs=12 "));
  EXPECT_THAT(command, HasSubstr("sacct --clusters=east --jobs=12 "));
  EXPECT_THAT(RenderCancel({{.id = "12", .cluster = "east"}}),
              HasSubstr("scancel --clusters=east 12"));
}

}  // namespace
}  // namespace tao::platforms
