#include "server/launch/launch_plan.h"

#include <gmock/gmock.h>

#include <functional>

#include "server/base/errors.h"
#include "tests/unit/server/catalog/references_copy.h"
#include "tests/unit/server/launch/launch_fixture.h"

namespace tao::launch {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

LaunchPlan Planned(const LaunchRequest& request, const LaunchContext& context = ContextWith(),
                   const catalog::Catalog& catalog = ReleaseCatalog()) {
  auto plan = BuildLaunchPlan(request, catalog, context);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : LaunchPlan{};
}

// "field: description" of each violation.
std::vector<std::string> ViolationsOf(const LaunchRequest& request,
                                      const LaunchContext& context = ContextWith(),
                                      const catalog::Catalog& catalog = ReleaseCatalog()) {
  const auto plan = BuildLaunchPlan(request, catalog, context);
  std::vector<std::string> found;
  if (plan.ok()) return found;
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument) << plan.status();
  for (const base::FieldViolation& violation : base::DetailsOf(plan.status()).violations) {
    found.push_back(violation.field + ": " + violation.description);
  }
  return found;
}

TEST(LaunchPlanTest, CarriesWhatTheRequestAndTheCatalogSay) {
  LaunchRequest request = RequestFor("COSMOS-RL", "hf_model://nvidia/Cosmos-Reason1-7B");
  request.env = {{"WANDB_PROJECT", "demo"}, {"TAO_LOG_LEVEL", "INFO"}};
  request.mounts = {"/data//x/:/models/./x:ro", "/data:/data"};
  request.hf_cache = "/home/me/.cache/huggingface";
  request.gpu_ids = {"0", "GPU-8a1b"};
  const LaunchPlan plan = Planned(request, ContextWith({{"HF_TOKEN", "hf_abcdefgh"},
                                                        {"WANDB_API_KEY", ""},
                                                        {"NGC_KEY", "nvapi-abcdefgh"}}));
  EXPECT_EQ(plan.job_id, kJobId);
  EXPECT_EQ(plan.network_arch, "cosmos-rl");
  EXPECT_EQ(plan.platform, "local-docker");
  EXPECT_EQ(plan.image, "nvcr.io/nvidia/tao/tao-toolkit:7.0.0-cosmos-rl");
  EXPECT_EQ(plan.image_source, "versions.yaml tao_toolkit.cosmos_rl");
  EXPECT_EQ(plan.model_path_kind, catalog::ModelPathKind::kFile);
  EXPECT_THAT(plan.served_names,
              ElementsAre("hf_model://nvidia/Cosmos-Reason1-7B", "nvidia/Cosmos-Reason1-7B"));
  EXPECT_THAT(plan.env, ElementsAre(Pair("TAO_EXECUTION_BACKEND", "local-docker"),
                                    Pair("TAO_API_JOB_ID", kJobId), Pair("CLOUD_BASED", "False"),
                                    Pair("TAO_LOG_LEVEL", "INFO"), Pair("WANDB_PROJECT", "demo"),
                                    Pair("HF_HOME", "/hf-cache")));
  EXPECT_THAT(plan.secret_names, ElementsAre("HF_TOKEN"));
  ASSERT_EQ(plan.mounts.size(), 3u);
  EXPECT_EQ(plan.mounts[0].source, "/data/x");
  EXPECT_EQ(plan.mounts[0].destination, "/models/x");
  EXPECT_TRUE(plan.mounts[0].read_only);
  EXPECT_FALSE(plan.mounts[1].read_only);
  EXPECT_EQ(plan.mounts[2].source, "/home/me/.cache/huggingface");
  EXPECT_EQ(plan.mounts[2].destination, "/hf-cache");
  EXPECT_EQ(plan.gpus.mode, GpuMode::kAuto);
  EXPECT_EQ(plan.gpus.count, 2);
  // Environment only: the command line is seen by everybody on the host.
  EXPECT_THAT(plan.inner_command.Render(8080),
              AllOf(Not(HasSubstr("hf_abcdefgh")), Not(HasSubstr("HF_")), HasSubstr("demo")));
}

TEST(LaunchPlanTest, AnArchWithoutEnvPayloadGetsTheCallersVariablesOnly) {
  LaunchRequest request = RequestFor("cosmos-predict2.5", "/m");
  request.env = {{"TAO_LOG_LEVEL", "INFO"}};
  EXPECT_THAT(Planned(request).env, ElementsAre(Pair("TAO_LOG_LEVEL", "INFO")));
}

TEST(LaunchPlanTest, ExecutionBackendIsThePlatforms) {
  LaunchContext context = ContextWith();
  context.execution_backend = "local-k8s";
  const LaunchPlan plan = Planned(RequestFor("cosmos-rl", "/m"), context);
  EXPECT_EQ(plan.env[0].second, "local-k8s");
  EXPECT_THAT(plan.inner_command.Render(8080), HasSubstr(R"("TAO_EXECUTION_BACKEND":"local-k8s")"));
}

TEST(LaunchPlanTest, OnTheHostsOwnFilesNothingIsMounted) {
  LaunchContext context = ContextWith();
  context.platform = "local-process";
  context.host_filesystem = true;
  LaunchRequest request = RequestFor("cosmos-rl", "/data/x");
  request.mounts = {"/data/x:/data/x/:ro"};
  request.hf_cache = "/cache:1";
  const LaunchPlan plan = Planned(request, context);
  EXPECT_THAT(plan.mounts, IsEmpty());
  EXPECT_THAT(plan.env.back(), Pair("HF_HOME", "/cache:1"));

  request.mounts = {"/data/x:/models/x"};
  EXPECT_THAT(ViolationsOf(request, context),
              ElementsAre(AllOf(HasSubstr("mounts[0]: local-process"), HasSubstr("\"/data/x\""))));
}

TEST(LaunchPlanTest, GpuModeIsTheRequestsThenTheOperators) {
  LaunchContext context = ContextWith();
  context.default_gpu_mode = GpuMode::kTegra;
  LaunchRequest request = RequestFor("cosmos-rl", "/m");
  EXPECT_EQ(Planned(request, context).gpus.mode, GpuMode::kTegra);
  request.gpu_mode = GpuMode::kNone;
  EXPECT_EQ(Planned(request, context).gpus.mode, GpuMode::kNone);
  request.gpu_mode = GpuMode::kDevice;
  request.gpu_count = 0;  // proto's absent
  EXPECT_EQ(Planned(request, context).gpus.count, 1);
}

TEST(LaunchPlanTest, OperatorsImageOverride) {
  const LaunchRequest request = RequestFor("cosmos-rl", "/m");
  EXPECT_EQ(Planned(request, ContextWith({{"IMAGE_COSMOS_RL", "mine/rl@sha256:0a"}})).image,
            "mine/rl@sha256:0a");
  for (const char* bad : {"-v", "mine rl", "mine/rl\n", "\xff"}) {
    const auto plan =
        BuildLaunchPlan(request, ReleaseCatalog(), ContextWith({{"IMAGE_COSMOS_RL", bad}}));
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition) << bad;
    EXPECT_THAT(std::string(plan.status().message()), HasSubstr("IMAGE_COSMOS_RL"));
  }
}

TEST(LaunchPlanTest, AnArchAddedAsDataAloneIsPlanned) {
  const catalog::ReferencesCopy references;
  catalog::AddAcmeVlm(references);
  const auto catalog = LoadCatalog(references.folder());
  ASSERT_NE(catalog, nullptr);

  LaunchRequest request = RequestFor("acme-vlm", "/models/acme");
  request.arch_options = {{"max-frames", "16"}};
  request.idle_timeout_minutes = 5;
  const LaunchPlan plan = Planned(request, ContextWith({{"HF_TOKEN", "hf_abcdefgh"}}), *catalog);
  EXPECT_EQ(plan.image, "registry.example/acme/vlm:1.0");
  EXPECT_EQ(plan.model_path_kind, catalog::ModelPathKind::kFolder);
  EXPECT_EQ(plan.inner_command.Render(8085),
            "umask 0 && acme-serve --weights /models/acme --listen-port 8085 --arch acme-vlm -F 16 "
            "--idle 5");

  request.arch_options = {{"max-frames", "1"}};
  request.model_path = "hf_model://acme/vlm";
  EXPECT_THAT(ViolationsOf(request, ContextWith(), *catalog),
              ElementsAre(HasSubstr("model_key: is required"),
                          HasSubstr("arch_options[\"max-frames\"]: must be at least 2")));
}

TEST(LaunchPlanTest, ASecretThatIsNeededAndMissingIsNamedWithTheCommand) {
  const catalog::ReferencesCopy references;
  catalog::AddAcmeVlm(references);
  const auto catalog = LoadCatalog(references.folder());
  ASSERT_NE(catalog, nullptr);
  const auto plan =
      BuildLaunchPlan(RequestFor("acme-vlm", "/models/acme"), *catalog, ContextWith());
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("export HF_TOKEN=..."));
  EXPECT_EQ(base::DetailsOf(plan.status()).reason, "SECRET_MISSING");
}

struct ViolationCase {
  std::string name;
  std::function<void(LaunchRequest&)> change;  // of a request that is right
  std::string want_field, want_advice;
};

class ViolationTest : public testing::TestWithParam<ViolationCase> {};

TEST_P(ViolationTest, NamesTheFieldAndSaysWhatToDo) {
  LaunchRequest request = RequestFor("cosmos-predict2.5", "/models/x");
  GetParam().change(request);
  LaunchContext context = ContextWith({{"HF_TOKEN", "hf_planted"}, {"NGC_KEY", "short"}});
  context.platform = request.platform;
  EXPECT_THAT(ViolationsOf(request, context),
              ElementsAre(AllOf(testing::StartsWith(GetParam().want_field + ": "),
                                HasSubstr(GetParam().want_advice), Not(HasSubstr("hf_planted")))));
}

#define CHANGE(statement) [](LaunchRequest& r) { statement; }

INSTANTIATE_TEST_SUITE_P(
    Basics, ViolationTest,
    testing::ValuesIn<ViolationCase>({
        {"ArchMissing", CHANGE(r.network_arch = ""), "network_arch", "one of cosmos-rl"},
        {"ArchMisspelt", CHANGE(r.network_arch = "cosmos-predict2"), "network_arch",
         "did you mean \"cosmos-predict2.5\"?"},
        {"ArchNotUtf8", CHANGE(r.network_arch = "\xc0\x80"), "network_arch", "not valid UTF-8"},
        {"PlatformMissing", CHANGE(r.platform = ""), "platform", "--platform"},
        {"RequestIdTooLong", CHANGE(r.request_id = std::string(129, 'x')), "request_id",
         "at most 128"},
        {"GpuCount", CHANGE(r.gpu_count = -1), "gpu_count", "must be 1 to 64"},
        {"GpuCountOtherThanIds", CHANGE(r.gpu_count = 3; r.gpu_ids = {"0"}), "gpu_count",
         "gpu_ids has 1"},
        {"GpuIdIsAList", CHANGE(r.gpu_ids = {"0,1"}), "gpu_ids[0]", "nvidia-smi -L"},
        {"GpuIdEmpty", CHANGE(r.gpu_ids = {""}), "gpu_ids[0]", "nvidia-smi -L"},
        {"GpuIdTwice", (CHANGE((r.gpu_ids = {"GPU-1", "GPU-1"}))), "gpu_ids[1]", "named twice"},
        {"GpuNoneWithIds", CHANGE(r.gpu_mode = GpuMode::kNone; r.gpu_ids = {"0"}), "gpu_mode",
         "no GPU"},
        {"TimeoutNegative", CHANGE(r.progress_timeout = absl::Seconds(-1)), "progress_timeout",
         "more than 0"},
        {"TimeoutInfinite", CHANGE(r.startup_timeout = absl::InfiniteDuration()), "startup_timeout",
         "at most 720h"},
    }),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Model, ViolationTest,
    testing::ValuesIn<ViolationCase>({
        {"Missing", CHANGE(r.model_path = ""), "model_path",
         "absolute path inside the container or hf_model://<org>/<model>"},
        {"HfIsHfModel", CHANGE(r.model_path = "hf://nvidia/Cosmos"), "model_path",
         "write \"hf_model://nvidia/Cosmos\""},
        {"S3", CHANGE(r.model_path = "s3://bucket/x"), "model_path", "add a mount"},
        {"AwsInCapitals", CHANGE(r.model_path = "AWS://bucket/x"), "model_path", "add a mount"},
        {"HfModelInCapitals", CHANGE(r.model_path = "HF_MODEL://a/b"), "model_path", "lower case"},
        {"UnknownProtocol", CHANGE(r.model_path = "ftp://a/b"), "model_path",
         "\"ftp://\" is not known"},
        {"Relative", CHANGE(r.model_path = "models/x/y"), "model_path", "is relative"},
        {"HubNameAlone", CHANGE(r.model_path = "nvidia/Cosmos"), "model_path",
         "hf_model://nvidia/Cosmos"},
        {"HubWithoutOrg", CHANGE(r.model_path = "hf_model://x"; r.model_key = "k"), "model_path",
         "<org>/<model>"},
        {"HubWithFurtherPath", CHANGE(r.model_path = "hf_model://a/b/c"; r.model_key = "k"),
         "model_path", "no further path"},
        {"HubWithDots", CHANGE(r.model_path = "hf_model://a/.."; r.model_key = "k"), "model_path",
         "<org>/<model>"},
        {"Nul", CHANGE(r.model_path = std::string("/a\0b", 4)), "model_path", "NUL"},
        {"NotUtf8", CHANGE(r.model_path = "/a\xed\xa0\x80"), "model_path", "not valid UTF-8"},
        {"TooLong", CHANGE(r.model_path = "/" + std::string(4096, 'x')), "model_path",
         "at most 4096"},
        {"HoldsASecret", CHANGE(r.model_path = "/models/hf_planted"), "model_path",
         "the value of HF_TOKEN"},
        {"KeyMissing", CHANGE(r.model_path = "hf_model://nvidia/Cosmos"), "model_key",
         "e.g. base-2b, base-14b and auto-multiview"},
        {"KeyWithPath", CHANGE(r.model_key = "base-2b"), "model_key", "leave it out"},
        {"KeyIsAFlag", CHANGE(r.model_path = "hf_model://a/b"; r.model_key = "--help"), "model_key",
         "not begin with '-'"},
        {"KeyForAnArchWithout", CHANGE(r.network_arch = "cosmos-rl"; r.model_key = "base-2b"),
         "model_key", "takes no model key"},
    }),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Mounts, ViolationTest,
    testing::ValuesIn<ViolationCase>({
        {"NoColon", CHANGE(r.mounts = {"/data"}), "mounts[0]", "SRC:DST"},
        {"TooManyColons", CHANGE(r.mounts = {"/a:/b:/c:ro"}), "mounts[0]", "cannot be mounted"},
        {"UnknownOption", CHANGE(r.mounts = {"/a:/b:rw"}), "mounts[0]", ":ro"},
        {"RelativeSource", (CHANGE((r.mounts = {"/a:/b", "data:/c"}))), "mounts[1]",
         "source \"data\" is not an absolute path"},
        {"HomeFolder", CHANGE(r.mounts = {"~/data:/c"}), "mounts[0]", "~ is for shells"},
        {"RelativeDestination", CHANGE(r.mounts = {"/a:b"}), "mounts[0]", "destination \"b\""},
        {"EmptyDestination", CHANGE(r.mounts = {"/a:"}), "mounts[0]", "destination \"\""},
        {"DotDot", CHANGE(r.mounts = {"/a/../b:/c"}), "mounts[0]", "\"..\""},
        {"Root", CHANGE(r.mounts = {"/a://."}), "mounts[0]", "hide the whole container"},
        {"DevShm", CHANGE(r.mounts = {"/a:/dev/shm"}), "mounts[0]", "belongs to the container"},
        {"Twice", (CHANGE((r.mounts = {"/a:/c", "/b:/c/"}))), "mounts[1]", "mounted twice"},
        {"TooMany", CHANGE(r.mounts.assign(65, "/a:/b")), "mounts", "at most 64"},
        {"Nul", CHANGE(r.mounts = {std::string("/a\0:/b", 6)}), "mounts[0]", "NUL"},
        {"HfCacheRelative", CHANGE(r.hf_cache = "cache"), "hf_cache", "not an absolute path"},
        {"HfCacheWithColon", CHANGE(r.hf_cache = "/a:b"), "hf_cache", "cannot be mounted"},
        {"HfCacheTaken", CHANGE(r.mounts = {"/a:/hf-cache"}; r.hf_cache = "/b"), "hf_cache",
         "mounted twice"},
    }),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Environment, ViolationTest,
    testing::ValuesIn<ViolationCase>({
        {"Secret", CHANGE(r.env["HF_TOKEN"] = "x"), "env[\"HF_TOKEN\"]", "export HF_TOKEN=..."},
        {"OwnSecret", CHANGE(r.env["NGC_KEY"] = "x"), "env[\"NGC_KEY\"]", "given to no container"},
        {"Forbidden", CHANGE(r.env["TAO_ADMIN_KEY"] = "x"), "env[\"TAO_ADMIN_KEY\"]",
         "leave it out"},
        {"ForbiddenUrl", CHANGE(r.env["TAO_LOGGING_SERVER_URL"] = "x"),
         "env[\"TAO_LOGGING_SERVER_URL\"]", "leave it out"},
        {"OursJobId", CHANGE(r.env["TAO_API_JOB_ID"] = "x"), "env[\"TAO_API_JOB_ID\"]",
         "set by the server itself"},
        {"OursBackend", CHANGE(r.env["TAO_EXECUTION_BACKEND"] = "x"),
         "env[\"TAO_EXECUTION_BACKEND\"]", "set by the server itself"},
        {"OursCloudBased", CHANGE(r.env["CLOUD_BASED"] = "True"), "env[\"CLOUD_BASED\"]",
         "set by the server itself"},
        {"HfHome", CHANGE(r.env["HF_HOME"] = "/x"), "env[\"HF_HOME\"]", "--hf-cache"},
        {"Misspelt", CHANGE(r.env["WANDB_PROJCET"] = "x"), "env[\"WANDB_PROJCET\"]",
         "did you mean \"WANDB_PROJECT\"?"},
        {"Unknown", CHANGE(r.env["PATH"] = "x"), "env[\"PATH\"]", "allowed_docker_env_var_names"},
        {"NameNotUtf8", CHANGE(r.env["\xff"] = "x"), "env", "not valid UTF-8"},
        {"ValueNul", CHANGE(r.env["WANDB_PROJECT"] = std::string(1, '\0')),
         "env[\"WANDB_PROJECT\"]", "NUL"},
        {"ValueIsASecret", CHANGE(r.env["WANDB_PROJECT"] = "x=hf_planted"),
         "env[\"WANDB_PROJECT\"]", "the value of HF_TOKEN"},
        {"NameIsASecret", CHANGE(r.env["hf_planted"] = "x"), "env", "the value of HF_TOKEN"},
        {"ValueTooLong", CHANGE(r.env["WANDB_PROJECT"] = std::string(8193, 'x')),
         "env[\"WANDB_PROJECT\"]", "at most 8192"},
    }),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Options, ViolationTest,
    testing::ValuesIn<ViolationCase>({
        {"Misspelt", CHANGE(r.arch_options["context-paralel-size"] = "2"),
         "arch_options[\"context-paralel-size\"]", "did you mean \"context-parallel-size\"?"},
        {"IntIsNone", CHANGE(r.arch_options["context-parallel-size"] = "2.5"),
         "arch_options[\"context-parallel-size\"]", "whole number"},
        {"IntWithMore", CHANGE(r.arch_options["context-parallel-size"] = "2 "),
         "arch_options[\"context-parallel-size\"]", "whole number"},
        {"IntTooLarge", CHANGE(r.arch_options["context-parallel-size"] = "99999999999999999999"),
         "arch_options[\"context-parallel-size\"]", "whole number"},
        {"IntTooSmall", CHANGE(r.arch_options["context-parallel-size"] = "0"),
         "arch_options[\"context-parallel-size\"]", "at least 1"},
        {"FloatIsNone", CHANGE(r.arch_options["idle-timeout-minutes"] = "inf"),
         "arch_options[\"idle-timeout-minutes\"]", "must be a number"},
        {"FlagIsNone", CHANGE(r.arch_options["disable-guardrails"] = "yes"),
         "arch_options[\"disable-guardrails\"]", "true or false"},
        {"StringIsAFlag", CHANGE(r.arch_options["pid-file"] = "--help"),
         "arch_options[\"pid-file\"]", "begin with '-'"},
        {"StringNul", CHANGE(r.arch_options["pid-file"] = std::string("/a\0", 3)),
         "arch_options[\"pid-file\"]", "NUL"},
        {"Twice", (CHANGE((r.arch_options = {{"pid-file", "/a"}, {"pid_file", "/b"}}))),
         "arch_options[\"pid_file\"]", "same option as \"pid-file\""},
        {"IdleZero", CHANGE(r.idle_timeout_minutes = 0), "idle_timeout_minutes", "more than 0"},
        {"IdleNan", CHANGE(r.idle_timeout_minutes = std::nan("")), "idle_timeout_minutes",
         "finite"},
        {"IdleTooLong", CHANGE(r.idle_timeout_minutes = 1e9), "idle_timeout_minutes", "a year"},
        {"IdleTwice",
         CHANGE(r.idle_timeout_minutes = 5; r.arch_options["idle_timeout_minutes"] = "5"),
         "idle_timeout_minutes", "give one of the two"},
        {"IdleOfAnArchWithout", CHANGE(r.network_arch = "cosmos-rl"; r.idle_timeout_minutes = 5),
         "idle_timeout_minutes", "cannot end itself"},
        {"IdleNotWhole", CHANGE(r.network_arch = "tao-dataservices"; r.idle_timeout_minutes = 2.5),
         "idle_timeout_minutes", "whole minutes"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(LaunchPlanTest, AllFindingsAreToldAtOnce) {
  LaunchRequest request = RequestFor("cosmos-rl", "s3://bucket/x");
  request.model_key = "base-2b";
  request.mounts = {"/a:/b", "c"};
  request.hf_cache = "d";
  request.env = {{"HF_TOKEN", "x"}, {"TAO_LOG_LEVEL", "INFO"}};
  request.arch_options = {{"x", "1"}};
  request.idle_timeout_minutes = 3;
  request.gpu_count = 65;
  LaunchContext context = ContextWith();
  context.platform = "";
  const auto plan = BuildLaunchPlan(request, ReleaseCatalog(), context);
  std::vector<std::string> fields;
  for (const auto& violation : base::DetailsOf(plan.status()).violations) {
    fields.push_back(violation.field);
  }
  EXPECT_THAT(fields, ElementsAre("platform", "model_path", "model_key", "arch_options[\"x\"]",
                                  "idle_timeout_minutes", "env[\"HF_TOKEN\"]", "mounts[1]",
                                  "hf_cache", "gpu_count"));
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("(and 8 more findings)"));
}

TEST(LaunchPlanTest, UnknownPlatformIsOneFindingAmongTheOthers) {
  LaunchContext context = ContextWith();
  context.platform_choices = {"local-docker", "slurm"};
  EXPECT_TRUE(BuildLaunchPlan(RequestFor("cosmos-rl", "/m"), ReleaseCatalog(), context).ok());
  context.platform = "moon";
  const auto plan = BuildLaunchPlan(RequestFor("cosmos-rl", "m"), ReleaseCatalog(), context);
  const auto violations = base::DetailsOf(plan.status()).violations;
  ASSERT_EQ(violations.size(), 2u);
  EXPECT_EQ(violations[0].field, "platform");
  EXPECT_EQ(violations[0].description,
            "\"moon\" is not a platform of this daemon; choose one of: local-docker, slurm");
  EXPECT_EQ(violations[1].field, "model_path");
}

TEST(LaunchPlanTest, ACommandLineThatLinuxCannotTakeIsRefused) {
  LaunchRequest request = RequestFor("cosmos-rl", "/m");
  // Within every limit of its own, but each byte of a control is six in JSON.
  for (const char* name : {"WANDB_PROJECT", "WANDB_ENTITY", "WANDB_USERNAME"}) {
    request.env[name] = std::string(8192, '\x01');
  }
  EXPECT_THAT(ViolationsOf(request), ElementsAre(HasSubstr("env: makes the container's command")));
}

TEST(LaunchPlanTest, ABrokenContextIsOurOwnFault) {
  LaunchContext context = ContextWith();
  context.job_id = "../x";
  EXPECT_EQ(
      BuildLaunchPlan(RequestFor("cosmos-rl", "/m"), ReleaseCatalog(), context).status().code(),
      absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace tao::launch
