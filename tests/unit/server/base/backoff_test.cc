#include "server/base/backoff.h"

#include <gtest/gtest.h>

namespace tao::base {
namespace {

TEST(BackoffTest, GrowsByTheFactorUpToTheLongest) {
  Backoff backoff(
      {.first = absl::Seconds(1), .longest = absl::Seconds(5), .factor = 2, .jitter = 0},
      /*seed=*/1);
  std::vector<double> waits;
  for (int i = 0; i < 5; ++i) waits.push_back(absl::ToDoubleSeconds(backoff.Next()));
  EXPECT_EQ(waits, (std::vector<double>{1, 2, 4, 5, 5}));
}

TEST(BackoffTest, ResetBeginsAgain) {
  Backoff backoff({.first = absl::Seconds(1), .factor = 3, .jitter = 0}, /*seed=*/1);
  backoff.Next();
  backoff.Next();
  backoff.Reset();
  EXPECT_EQ(backoff.Next(), absl::Seconds(1));
}

TEST(BackoffTest, JitterStaysWithinItsShareAndTheLongest) {
  const BackoffOptions options{
      .first = absl::Seconds(1), .longest = absl::Seconds(10), .jitter = 0.2};
  double least = 10, most = 0;
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    Backoff backoff(options, seed);
    const double first = absl::ToDoubleSeconds(backoff.Next());
    least = std::min(least, first);
    most = std::max(most, first);
    for (int i = 0; i < 20; ++i) EXPECT_LE(backoff.Next(), options.longest) << "seed " << seed;
  }
  EXPECT_GE(least, 0.8);
  EXPECT_LE(most, 1.2);
  EXPECT_GT(most - least, 0.3) << "200 waiters are nearly in step";
}

}  // namespace
}  // namespace tao::base
