#include "gateway/transport/deadline_wheel.h"

#include <gtest/gtest.h>

#include <optional>

namespace tao::transport {
namespace {

class DeadlineWheelTest : public testing::Test {
 protected:
  // Runs the loop until nothing is armed any more, or `limit` has passed.
  void Run(absl::Duration limit = absl::Seconds(5)) {
    const absl::Duration end = DeadlineWheel::After(limit);
    while (!wheel_.is_still() && DeadlineWheel::Now() < end) {
      loop_.RunOnce(end - DeadlineWheel::Now());
    }
  }

  EventLoop loop_;
  DeadlineWheel wheel_{loop_};
};

TEST_F(DeadlineWheelTest, FiresAfterItsTimeAndOnce) {
  const absl::Duration at = DeadlineWheel::After(absl::Milliseconds(120));
  int fired = 0;
  Deadline deadline(wheel_, [&] {
    ++fired;
    EXPECT_GE(DeadlineWheel::Now(), at);
  });
  deadline.Arm(at);
  Run();
  EXPECT_EQ(fired, 1);
}

TEST_F(DeadlineWheelTest, FiresInTheOrderOfTheirTimes) {
  std::string order;
  Deadline late(wheel_, [&] { order += "late "; });
  Deadline early(wheel_, [&] { order += "early "; });
  late.Arm(DeadlineWheel::After(absl::Milliseconds(200)));
  early.Arm(DeadlineWheel::After(absl::Milliseconds(60)));
  Run();
  EXPECT_EQ(order, "early late ");
}

TEST_F(DeadlineWheelTest, DisarmedDoesNotFire) {
  int fired = 0;
  Deadline deadline(wheel_, [&] { ++fired; });
  deadline.Arm(DeadlineWheel::After(absl::Milliseconds(50)));
  deadline.Disarm();
  Run();
  EXPECT_EQ(fired, 0);
}

TEST_F(DeadlineWheelTest, RearmingReplacesTheTime) {
  std::optional<absl::Duration> fired;
  Deadline deadline(wheel_, [&] { fired = DeadlineWheel::Now(); });
  const absl::Duration later = DeadlineWheel::After(absl::Milliseconds(200));
  deadline.Arm(DeadlineWheel::After(absl::Milliseconds(50)));
  deadline.Arm(later);
  Run();
  ASSERT_TRUE(fired.has_value());
  EXPECT_GE(*fired, later);

  fired.reset();
  deadline.Arm(DeadlineWheel::After(absl::Hours(1)));
  const absl::Duration sooner = DeadlineWheel::After(absl::Milliseconds(50));
  deadline.Arm(sooner);
  Run();
  ASSERT_TRUE(fired.has_value());
  EXPECT_LT(*fired, sooner + absl::Seconds(4));
}

TEST_F(DeadlineWheelTest, MayRearmItselfAndDestroyOthersFromItsCallback) {
  int fired = 0;
  std::optional<Deadline> other;
  other.emplace(wheel_, [] { ADD_FAILURE() << "was destroyed before its time"; });
  const absl::Duration at = DeadlineWheel::After(absl::Milliseconds(50));
  std::optional<Deadline> deadline;
  deadline.emplace(wheel_, [&] {
    other.reset();
    if (++fired < 3) deadline->Arm(DeadlineWheel::After(absl::Milliseconds(50)));
  });
  other->Arm(at + absl::Milliseconds(60));
  deadline->Arm(at);
  Run();
  EXPECT_EQ(fired, 3);
}

TEST_F(DeadlineWheelTest, ManyInOneSlotAllFire) {
  int fired = 0;
  std::vector<std::unique_ptr<Deadline>> deadlines;
  const absl::Duration at = DeadlineWheel::After(absl::Milliseconds(60));
  for (int i = 0; i < 1000; ++i) {
    deadlines.push_back(std::make_unique<Deadline>(wheel_, [&] { ++fired; }));
    deadlines.back()->Arm(at);
  }
  deadlines.erase(deadlines.begin() + 500);
  Run();
  EXPECT_EQ(fired, 999);
}

// A wheel without deadlines wakes nobody up.
TEST_F(DeadlineWheelTest, StandsStillWhenNothingIsArmed) {
  Deadline deadline(wheel_, [] {});
  deadline.Arm(DeadlineWheel::After(absl::Milliseconds(10)));
  Run();
  EXPECT_TRUE(wheel_.is_still());
  deadline.Arm(DeadlineWheel::After(absl::Milliseconds(10)));
  Run();  // and begins again
}

}  // namespace
}  // namespace tao::transport
