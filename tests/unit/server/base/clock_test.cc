#include "server/base/clock.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_clock.h"

namespace tao::base {
namespace {

TEST(ClockTest, FormatsUtcWithWholeSeconds) {
  EXPECT_EQ(FormatUtc(absl::FromUnixSeconds(1795425966)), "2026-11-23T09:26:06Z");
  EXPECT_EQ(FormatUtc(absl::FromUnixMillis(999)), "1970-01-01T00:00:00Z");
}

TEST(ClockTest, RealMonotonicTimeDoesNotGoBack) {
  absl::Duration last = RealClock().Monotonic();
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration now = RealClock().Monotonic();
    EXPECT_LE(last, now);
    last = now;
  }
}

TEST(FakeClockTest, AdvanceMovesBothAndSetNowOnlyWallTime) {
  fakes::FakeClock clock;
  const absl::Duration start = clock.Monotonic();
  EXPECT_EQ(FormatUtc(clock.Now()), "2026-01-02T03:04:05Z");
  clock.Advance(absl::Seconds(10));
  EXPECT_EQ(FormatUtc(clock.Now()), "2026-01-02T03:04:15Z");
  clock.SetNow(absl::UnixEpoch());
  EXPECT_EQ(clock.Now(), absl::UnixEpoch());
  EXPECT_EQ(clock.Monotonic() - start, absl::Seconds(10));
}

}  // namespace
}  // namespace tao::base
