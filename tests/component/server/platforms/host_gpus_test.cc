#include "server/platforms/host_gpus.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using launch::GpuMode;
using testing::ElementsAre;
using testing::HasSubstr;

class HostGpusTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "tao-gpus-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    sources_ = {.nvidia_smi = folder_ + "/nvidia-smi", .tegra_release = folder_ + "/tegra"};
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void NvidiaSmiIs(const std::string& script) {
    std::ofstream(sources_.nvidia_smi) << "#!/bin/sh\n" << script << "\n";
    chmod(sources_.nvidia_smi.c_str(), 0755);
  }
  absl::StatusOr<std::vector<std::string>> Ids(GpuMode mode) {
    return HostGpuIds({.mode = mode}, sources_, absl::Seconds(5));
  }
  std::string folder_;
  HostGpuSources sources_;
};

TEST_F(HostGpusTest, AsksNvidiaSmiInItsOwnWords) {
  NvidiaSmiIs(
      "[ \"$*\" = '--query-gpu=index,uuid,memory.used --format=csv,noheader,nounits' ] || exit 9\n"
      "echo '0, GPU-a, 12'; echo '1, GPU-b, 0'");
  const auto ids = Ids(GpuMode::kAuto);
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_THAT(*ids, ElementsAre("1", "0"));
}

TEST_F(HostGpusTest, WithoutNvidiaSmiThereIsNoGpu) {
  EXPECT_THAT(std::string(Ids(GpuMode::kAuto).status().message()), HasSubstr("--gpu-mode none"));
  EXPECT_TRUE(Ids(GpuMode::kNone)->empty());
}

TEST_F(HostGpusTest, ABrokenDriverIsToldInItsWords) {
  NvidiaSmiIs("echo \"NVIDIA-SMI has failed because it couldn't communicate\"; exit 9");
  const absl::Status status = Ids(GpuMode::kAuto).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("exit code 9: \"NVIDIA-SMI has failed"));
  EXPECT_TRUE(Ids(GpuMode::kNone)->empty());  // is not even asked
}

TEST_F(HostGpusTest, AJetsonIsKnownByItsReleaseFile) {
  std::ofstream(sources_.tegra_release) << "# R36\n";
  EXPECT_THAT(*Ids(GpuMode::kTegra), ElementsAre("0"));
  EXPECT_THAT(*Ids(GpuMode::kAuto), ElementsAre("0"));
}

}  // namespace
}  // namespace tao::platforms
