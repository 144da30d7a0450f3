// The whole shell line of each arch, byte for byte what Python's json and shlex make of the
// release's command lines.

#include "tests/unit/server/launch/launch_fixture.h"
#include "tests/unit/server/launch/python_oracle.h"

namespace tao::launch {
namespace {

constexpr size_t kInputs = 2'000;

struct CommandCase {
  std::string name, network_arch;
  // Python: what the container runs, for model path `s`, job id `j` and the environment payload
  // `e`.
  std::string expression;
};

class InnerCommandTest : public testing::TestWithParam<CommandCase> {};

TEST_P(InnerCommandTest, IsWhatPythonPrints) {
  TextGenerator generator(TestSeed());
  std::vector<std::string> paths = {"/models/x", "/", "/it's", "/a b"};
  while (paths.size() < kInputs) paths.push_back("/" + generator.Next());

  std::vector<std::string> ours;
  for (const std::string& path : paths) {
    LaunchRequest request = RequestFor(GetParam().network_arch, path);
    request.env = {{"WANDB_PROJECT", path}, {"TAO_LOG_LEVEL", "DEBUG"}};
    const auto plan = BuildLaunchPlan(request, ReleaseCatalog(), ContextWith());
    ASSERT_TRUE(plan.ok()) << plan.status();
    ours.push_back(plan->inner_command.Render(8080));
  }
  const std::string job = std::string("(lambda j, e: ") + GetParam().expression + ")('" + kJobId +
                          "', {'TAO_EXECUTION_BACKEND': 'local-docker', 'TAO_API_JOB_ID': '" +
                          kJobId +
                          "', 'CLOUD_BASED': 'False', 'TAO_LOG_LEVEL': 'DEBUG', "
                          "'WANDB_PROJECT': s})";
  const std::vector<std::string> wanted = AskPython(job, paths);
  for (size_t i = 0; i < paths.size(); ++i) ASSERT_EQ(ours[i], wanted[i]) << ToHex(paths[i]);
}

INSTANTIATE_TEST_SUITE_P(
    Archs, InnerCommandTest,
    testing::ValuesIn<CommandCase>({
        {"CosmosRl", "cosmos-rl",
         "'umask 0 && cosmos-rl-inference-microservice --job ' + q(d({'job_id': j, 'specs': "
         "{'model_path': s}, 'neural_network_name': 'cosmos-rl'})) + ' --docker_env_vars ' + "
         "q(d(e))"},
        {"CosmosPredict", "cosmos-predict2.5",
         "'umask 0 && cosmos_predict inference_microservice start --checkpoint-path ' + q(s) + ' "
         "--output-dir ' + q('/tmp/cosmos-predict2.5-output') + ' --port 8080'"},
        {"TaoDataservices", "tao-dataservices",
         "'umask 0 && python -m nvidia_tao_core.microservices.handlers."
         "huggingface_inference_microservice_server --port 8080 --job ' + q(d({'job_id': j, "
         "'specs': {'model_path': s}, 'neural_network_name': 'tao-dataservices'})) + ' "
         "--docker_env_vars ' + q(d(e))"},
    }),
    [](const auto& test) { return test.param.name; });

std::string RenderedFor(const LaunchRequest& request, int port) {
  const auto plan = BuildLaunchPlan(request, ReleaseCatalog(), ContextWith());
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? plan->inner_command.Render(port) : "";
}

TEST(InnerCommandTest, HubModelIsNamedByItsKey) {
  LaunchRequest request = RequestFor("cosmos-predict2.5", "hf_model://nvidia/Cosmos-Predict2.5-2B");
  request.model_key = "base-2b";
  EXPECT_EQ(RenderedFor(request, 8080),
            "umask 0 && cosmos_predict inference_microservice start --model base-2b --output-dir "
            "/tmp/cosmos-predict2.5-output --port 8080");
}

TEST(InnerCommandTest, OptionsFollowInTheOrderOfTheCatalogAndThePortIsTheLeasedOne) {
  LaunchRequest request = RequestFor("cosmos-predict2.5", "/m");
  request.idle_timeout_minutes = 30;
  request.arch_options = {{"pid_file", "/tmp/my pid"},
                          {"context-parallel-size", "2"},
                          {"disable-guardrails", "true"},
                          {"offload_diffusion_model", "false"}};
  EXPECT_EQ(RenderedFor(request, 8123),
            "umask 0 && cosmos_predict inference_microservice start --checkpoint-path /m "
            "--output-dir /tmp/cosmos-predict2.5-output --port 8123 --idle-timeout-minutes 30.0 "
            "--context-parallel-size 2 --disable-guardrails --pid-file '/tmp/my pid'");
}

TEST(InnerCommandTest, WholeMinutesWhereTheContainerCountsWholeOnes) {
  LaunchRequest request = RequestFor("tao-dataservices", "/m");
  request.idle_timeout_minutes = 45;
  EXPECT_TRUE(RenderedFor(request, 8080).ends_with("}' --idle_timeout_minutes 45"));
}

TEST(InnerCommandTest, WithoutAPortFlagThePortIsNotForUs) {
  const auto plan = BuildLaunchPlan(RequestFor("cosmos-rl", "/m"), ReleaseCatalog(), ContextWith());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(plan->inner_command.has_port());
  EXPECT_EQ(plan->inner_command.Render(9000), plan->inner_command.Render(8080));
}

}  // namespace
}  // namespace tao::launch
