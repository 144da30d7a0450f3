#include "server/platforms/host_gpus.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using launch::GpuMode;
using testing::ElementsAre;
using testing::HasSubstr;

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

HostGpus Host(std::string_view nvidia_smi) {
  const auto gpus = ParseNvidiaSmi(nvidia_smi);
  EXPECT_TRUE(gpus.ok()) << gpus.status();
  return {.tegra = false, .gpus = *gpus};
}

TEST(ParseNvidiaSmiTest, ReadsOneRowAGpu) {
  const auto gpus = ParseNvidiaSmi("0, GPU-aaaa, 81000\n1, GPU-bbbb, 3\n2, GPU-cccc, [N/A]\n");
  ASSERT_TRUE(gpus.ok()) << gpus.status();
  ASSERT_EQ(gpus->size(), 3U);
  EXPECT_EQ((*gpus)[1].index, "1");
  EXPECT_EQ((*gpus)[1].uuid, "GPU-bbbb");
  EXPECT_EQ((*gpus)[0].memory_used_mib, 81000);
  EXPECT_EQ((*gpus)[2].memory_used_mib, 0);
}

TEST(ParseNvidiaSmiTest, NoGpuIsAnEmptyList) {
  EXPECT_TRUE(ParseNvidiaSmi("")->empty());
  EXPECT_TRUE(ParseNvidiaSmi("No devices were found\n")->empty());
}

TEST(ParseNvidiaSmiTest, AnythingElseIsAnErrorThatShowsIt) {
  for (const char* output : {"0, GPU-a\n", "x, GPU-a, 3\n", "0, , 3\n", "0, GPU-a, 3, 4\n",
                             "NVIDIA-SMI has failed because it could not communicate\n"}) {
    const absl::Status status = ParseNvidiaSmi(output).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << output;
    EXPECT_THAT(Message(status), HasSubstr(std::string(output).substr(0, 6)));
  }
}

TEST(ChooseGpuIdsTest, TheLeastUsedComesFirst) {
  const HostGpus host = Host("0, GPU-a, 70000\n1, GPU-b, 0\n2, GPU-c, 20\n3, GPU-d, 0\n");
  EXPECT_THAT(*ChooseGpuIds({.mode = GpuMode::kAuto}, host), ElementsAre("1", "3", "2", "0"));
  EXPECT_THAT(*ChooseGpuIds({.mode = GpuMode::kDevice}, host), ElementsAre("1", "3", "2", "0"));
}

TEST(ChooseGpuIdsTest, AskedForByIndexOrUuidEachHasOneName) {
  const HostGpus host = Host("0, GPU-a, 0\n1, GPU-b, 0\n");
  const auto choose = [&host](std::vector<std::string> ids) {
    return ChooseGpuIds({.mode = GpuMode::kAuto, .count = 1, .ids = std::move(ids)}, host);
  };
  EXPECT_THAT(*choose({"GPU-b", "0"}), ElementsAre("1", "0"));
  EXPECT_THAT(Message(choose({"7"}).status()), HasSubstr("no GPU \"7\"; it has: 0 and 1"));
  EXPECT_THAT(Message(choose({"1", "GPU-b"}).status()), HasSubstr("named twice"));
}

TEST(ChooseGpuIdsTest, WithoutAGpuOnlyNoneStarts) {
  for (const GpuMode mode : {GpuMode::kAuto, GpuMode::kDevice}) {
    const absl::Status status = ChooseGpuIds({.mode = mode}, HostGpus()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(status), HasSubstr("--gpu-mode none"));
  }
  EXPECT_TRUE(ChooseGpuIds({.mode = GpuMode::kNone}, HostGpus())->empty());
}

TEST(ChooseGpuIdsTest, TegraIsForJetsonAlone) {
  const HostGpus jetson = {.tegra = true, .gpus = {{.index = "0"}}};
  EXPECT_THAT(*ChooseGpuIds({.mode = GpuMode::kTegra}, jetson), ElementsAre("0"));
  EXPECT_THAT(*ChooseGpuIds({.mode = GpuMode::kAuto}, jetson), ElementsAre("0"));
  EXPECT_FALSE(ChooseGpuIds({.mode = GpuMode::kDevice}, jetson).ok());
  EXPECT_FALSE(ChooseGpuIds({.mode = GpuMode::kTegra}, Host("0, GPU-a, 0\n")).ok());
}

}  // namespace
}  // namespace tao::platforms
