#include "server/platforms/docker/gpu_reservations.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(GpuReservationsTest, AnEnginesGpusAreGivenOnceAndComeBack) {
  GpuReservations gpus;
  const auto reserve = [&gpus](const char* job, const char* engine, size_t wanted) {
    return gpus.Reserve(job, engine, {"3", "0", "1"}, /*taken=*/{"0"}, wanted, "engine x");
  };
  EXPECT_THAT(*reserve("a", "ssh://x", 1), ElementsAre("3"));
  EXPECT_THAT(*reserve("a", "ssh://x", 1), ElementsAre("3"));  // again: the same
  EXPECT_THAT(*reserve("b", "ssh://x", 1), ElementsAre("1"));
  EXPECT_THAT(*reserve("c", "ssh://y", 2), ElementsAre("3", "1"));  // another engine's are others
  const absl::Status none = reserve("d", "ssh://x", 1).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(base::ToStd(none.message())), HasSubstr("other services have 0, 1, 3"));
  gpus.Release("a");
  gpus.Release("a");
  EXPECT_THAT(*reserve("d", "ssh://x", 1), ElementsAre("3"));
}

}  // namespace
}  // namespace tao::platforms
