#include "server/platforms/lepton/lepton_choice.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

TEST(LeptonNodeGroupTest, NamesBecomeIds) {
  const auto groups = ParseLeptonNodeGroups(R"([
      {"metadata": {"id": "ng-1", "name": "h100"}, "spec": {"volumes": [{"name": "data"}]}},
      {"metadata": {"id": "ng-2", "name": "a10"}}])");
  ASSERT_TRUE(groups.ok());
  EXPECT_THAT(groups->front().volumes, ElementsAre("data"));
  EXPECT_THAT(*LeptonNodeGroupIds("a10, h100", *groups), ElementsAre("ng-2", "ng-1"));
  EXPECT_THAT(*LeptonNodeGroupIds("ng-2", *groups), ElementsAre("ng-2"));
  const absl::Status unknown = LeptonNodeGroupIds("h10", *groups).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(unknown), HasSubstr("h100 and a10"));
  EXPECT_THAT(*ParseLeptonNodeGroups("null"), IsEmpty());
}

constexpr char kShapes[] = R"([
    {"metadata": {"id": "gpu.h100-sxm"}, "spec": {"accelerator_num": 1, "memory_in_mb": 200000}},
    {"metadata": {"id": "gpu.a10"}, "spec": {"accelerator_num": 1, "listable_in": ["job"]}},
    {"metadata": {"id": "gpu.1xh200"}, "spec": {"accelerator_num": 1, "listable_in": ["deployment"]}},
    {"metadata": {"id": "gpu.2xh100-sxm"}, "spec": {"accelerator_num": 2}},
    {"metadata": {"id": "cpu.large"}, "spec": {"memory_in_mb": 32768}},
    {"metadata": {"id": "cpu.small"}, "spec": {"accelerator_num": 0, "memory_in_mb": 4096}}])";

launch::GpuRequest Gpus(int count) {
  if (count == 0) return {.mode = launch::GpuMode::kNone, .count = 1, .ids = {}};
  return {.mode = launch::GpuMode::kAuto, .count = count, .ids = {}};
}

TEST(LeptonShapeTest, IsChosenByTheNumberOfGpus) {
  const auto shapes = ParseLeptonShapes(kShapes);
  ASSERT_TRUE(shapes.ok());
  EXPECT_EQ(*ChooseLeptonShape("", Gpus(1), *shapes), "gpu.1xh200") << "the first by name";
  EXPECT_EQ(*ChooseLeptonShape("", Gpus(2), *shapes), "gpu.2xh100-sxm");
  EXPECT_EQ(*ChooseLeptonShape("", Gpus(0), *shapes), "cpu.small") << "the smallest";
  EXPECT_EQ(*ChooseLeptonShape("gpu.h100-sxm", Gpus(2), *shapes), "gpu.h100-sxm") << "as asked";
}

TEST(LeptonShapeTest, WhatIsNotThereListsWhatIs) {
  const auto shapes = ParseLeptonShapes(kShapes);
  ASSERT_TRUE(shapes.ok());
  for (const auto& status :
       {ChooseLeptonShape("", Gpus(8), *shapes), ChooseLeptonShape("gpu.a10", Gpus(1), *shapes)}) {
    EXPECT_EQ(status.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(status.status()), HasSubstr("cpu.large, cpu.small, gpu.1xh200"));
    EXPECT_THAT(Message(status.status()), HasSubstr("--resource-shape"));
  }
}

}  // namespace
}  // namespace tao::platforms
