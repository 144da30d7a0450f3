#include "server/api/from_proto.h"

#include "server/base/errors.h"

namespace tao::api {
namespace {

TEST(FromProtoTest, CarriesEveryField) {
  pb::StartRequest request;
  request.set_request_id("r");
  request.set_network_arch("cosmos-rl");
  request.set_platform("local-docker");
  request.set_model_path("/models/a");
  request.set_model_key("base-2b");
  request.add_mounts("/a:/b:ro");
  request.set_hf_cache("/hf");
  (*request.mutable_env())["LOG_LEVEL"] = "debug";
  (*request.mutable_arch_options())["offload"] = "true";
  request.set_idle_timeout_minutes(1.5);
  request.set_gpu_mode(pb::GPU_MODE_TEGRA);
  request.set_gpu_count(2);
  request.add_gpu_ids("1");
  request.mutable_progress_timeout()->set_seconds(90);
  request.mutable_startup_timeout()->set_nanos(500'000'000);
  request.set_keep_failed(true);

  const absl::StatusOr<launch::LaunchRequest> launch = ToLaunchRequest(request);
  ASSERT_TRUE(launch.ok()) << launch.status();
  EXPECT_EQ(launch->request_id, "r");
  EXPECT_EQ(launch->network_arch, "cosmos-rl");
  EXPECT_EQ(launch->platform, "local-docker");
  EXPECT_EQ(launch->model_path, "/models/a");
  EXPECT_EQ(launch->model_key, "base-2b");
  EXPECT_EQ(launch->mounts, std::vector<std::string>{"/a:/b:ro"});
  EXPECT_EQ(launch->hf_cache, "/hf");
  EXPECT_EQ(launch->env.at("LOG_LEVEL"), "debug");
  EXPECT_EQ(launch->arch_options.at("offload"), "true");
  EXPECT_EQ(launch->idle_timeout_minutes, 1.5);
  EXPECT_EQ(launch->gpu_mode, launch::GpuMode::kTegra);
  EXPECT_EQ(launch->gpu_count, 2);
  EXPECT_EQ(launch->gpu_ids, std::vector<std::string>{"1"});
  EXPECT_EQ(launch->progress_timeout, absl::Seconds(90));
  EXPECT_EQ(launch->startup_timeout, absl::Milliseconds(500));
  EXPECT_TRUE(launch->keep_failed);
}

TEST(FromProtoTest, AbsentFieldsAreTheDefaults) {
  const absl::StatusOr<launch::LaunchRequest> launch = ToLaunchRequest(pb::StartRequest());
  ASSERT_TRUE(launch.ok()) << launch.status();
  EXPECT_EQ(launch->gpu_count, 1);
  EXPECT_EQ(launch->gpu_mode, launch::GpuMode::kUnspecified);
  EXPECT_EQ(launch->idle_timeout_minutes, std::nullopt);
  EXPECT_EQ(launch->progress_timeout, absl::ZeroDuration());
}

TEST(FromProtoTest, NamesEveryWrongFieldAtOnce) {
  pb::StartRequest request;
  request.set_request_id(std::string(129, 'x'));
  request.set_gpu_mode(static_cast<pb::GpuMode>(77));
  request.set_gpu_count(-1);
  request.mutable_progress_timeout()->set_seconds(-1);
  request.mutable_startup_timeout()->set_seconds(INT64_MAX);
  const absl::StatusOr<launch::LaunchRequest> launch = ToLaunchRequest(request);
  EXPECT_EQ(launch.status().code(), absl::StatusCode::kInvalidArgument);
  std::vector<std::string> fields;
  for (const base::FieldViolation& each : base::DetailsOf(launch.status()).violations) {
    fields.push_back(each.field);
  }
  EXPECT_EQ(fields, (std::vector<std::string>{"request_id", "gpu_mode", "gpu_count",
                                              "progress_timeout", "startup_timeout"}));
}

TEST(FromProtoTest, SelectorFieldsThatAreEmptySayNothing) {
  pb::Selector selector;
  EXPECT_TRUE(ToSelector(selector).empty());
  selector.set_network_arch("x");
  selector.set_job_id("j");
  const routing::Selector both = ToSelector(selector);
  ASSERT_EQ(both.terms.size(), 2u);
  EXPECT_EQ(both.terms[0].value, "j");
  EXPECT_EQ(both.terms[0].source, "selector.job_id");
  EXPECT_EQ(both.terms[1].kind, routing::SelectorTerm::Kind::kNetworkArch);
}

}  // namespace
}  // namespace tao::api
