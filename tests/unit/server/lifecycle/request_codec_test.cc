#include "server/lifecycle/request_codec.h"

#include <gtest/gtest.h>

namespace tao::lifecycle {
namespace {

launch::LaunchRequest FullRequest() {
  launch::LaunchRequest request;
  request.request_id = "build-17";
  request.network_arch = "cosmos-rl";
  request.platform = "local-docker";
  request.model_path = "/models/\xc3\xa9";
  request.model_key = "base-2b";
  request.mounts = {"/a:/b", "/c:/d:ro"};
  request.hf_cache = "/cache";
  request.env = {{"TAO_LOG_LEVEL", "debug"}};
  request.arch_options = {{"pid-file", "/tmp/p"}};
  request.idle_timeout_minutes = 2.5;
  request.gpu_mode = launch::GpuMode::kDevice;
  request.gpu_count = 2;
  request.gpu_ids = {"0", "3"};
  request.progress_timeout = absl::Seconds(90);
  request.startup_timeout = absl::Hours(1);
  request.keep_failed = true;
  return request;
}

TEST(RequestCodecTest, RoundTripKeepsEverythingButTheRequestId) {
  const std::string text = EncodeLaunchRequest(FullRequest());
  const auto decoded = DecodeLaunchRequest(text);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(EncodeLaunchRequest(*decoded), text);
  EXPECT_EQ(decoded->request_id, "");
  EXPECT_EQ(decoded->gpu_ids, FullRequest().gpu_ids);
  EXPECT_EQ(decoded->idle_timeout_minutes, 2.5);
}

TEST(RequestCodecTest, AnotherRequestIsAnotherText) {
  launch::LaunchRequest other = FullRequest();
  other.model_path = "/models/e";
  EXPECT_NE(EncodeLaunchRequest(other), EncodeLaunchRequest(FullRequest()));
}

TEST(RequestCodecTest, ForeignTextIsAnError) {
  EXPECT_EQ(DecodeLaunchRequest("{}").status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(DecodeLaunchRequest("not json").status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace tao::lifecycle
