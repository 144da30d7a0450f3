#include "gateway/transport/task.h"

#include <gtest/gtest.h>

#include <coroutine>
#include <memory>
#include <string>
#include <utility>

namespace tao::transport {
namespace {

// What a task waits for until the test lets it go on.
class Gate {
 public:
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  void await_resume() const {}
  void Open() { std::exchange(waiter_, nullptr).resume(); }
  bool has_waiter() const { return static_cast<bool>(waiter_); }

 private:
  std::coroutine_handle<> waiter_;
};

Task<int> Number(int number) { co_return number; }

Task<void> SumUp(int count, int64_t* sum) {
  for (int i = 0; i < count; ++i) *sum += co_await Number(i);
}

TEST(TaskTest, OneThatNeedNotWaitEndsOnTheSpot) {
  int64_t sum = 0;
  SumUp(10, &sum).Detach();
  EXPECT_EQ(sum, 45);
}

TEST(TaskTest, ManyThatNeedNotWaitTakeNoStack) {
  int64_t sum = 0;
  SumUp(1'000'000, &sum).Detach();
  EXPECT_EQ(sum, 499'999'500'000);
}

Task<std::string> AfterGate(Gate& gate, std::string text) {
  co_await gate;
  co_return text + " and after";
}

Task<void> Collect(Gate& gate, std::string* told) { *told = co_await AfterGate(gate, "before"); }

TEST(TaskTest, OneThatWaitsGivesItsResultLater) {
  Gate gate;
  std::string told;
  Collect(gate, &told).Detach();
  EXPECT_EQ(told, "");
  ASSERT_TRUE(gate.has_waiter());
  gate.Open();
  EXPECT_EQ(told, "before and after");
}

Task<void> WaitTwice(Gate& gate, std::string* told) {
  for (int i = 0; i < 2; ++i) *told += co_await AfterGate(gate, "x");
}

TEST(TaskTest, OneThatIsAwaitedAgainAfterItWaitedGoesOn) {
  Gate gate;
  std::string told;
  WaitTwice(gate, &told).Detach();
  gate.Open();
  ASSERT_TRUE(gate.has_waiter());
  gate.Open();
  EXPECT_EQ(told, "x and afterx and after");
  EXPECT_FALSE(gate.has_waiter());
}

Task<std::unique_ptr<int>> Owned() { co_return std::make_unique<int>(7); }

Task<void> TakeOwned(std::unique_ptr<int>* taken) { *taken = co_await Owned(); }

TEST(TaskTest, ResultsAreMoved) {
  std::unique_ptr<int> taken;
  TakeOwned(&taken).Detach();
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(*taken, 7);
}

Task<void> Hold(Gate& gate, std::shared_ptr<int> held) {
  co_await gate;
  ++*held;
}

TEST(TaskTest, ItsParametersEndWithIt) {
  const auto held = std::make_shared<int>(0);
  Gate gate;
  Hold(gate, held).Detach();
  EXPECT_EQ(held.use_count(), 2);
  gate.Open();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(*held, 1);
}

TEST(TaskTest, OneThatIsNeverStartedIsGivenBack) {
  const auto held = std::make_shared<int>(0);
  Gate gate;
  {
    const Task<void> task = Hold(gate, held);
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(*held, 0);
}

}  // namespace
}  // namespace tao::transport
