#include "server/base/work_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

namespace tao::base {
namespace {

// Holds the threads of a pool until the test lets them go.
class Gate {
 public:
  void Pass() {
    MutexLock lock(mutex_);
    ++waiting_;
    changed_.SignalAll();
    while (!open_) changed_.Wait(mutex_);
  }
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.SignalAll();
  }
  // Whether `count` threads came within 5 s.
  bool AwaitWaiting(int count) {
    MutexLock lock(mutex_);
    bool timed_out = false;
    while (waiting_ < count && !timed_out) {
      timed_out = changed_.WaitWithTimeout(mutex_, absl::Seconds(5));
    }
    return waiting_ >= count;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(WorkPoolTest, EndsOnlyAfterAllThatWasQueued) {
  std::atomic<int> ran = 0;
  {
    WorkPool pool(3, /*max_queued=*/1000);
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.TryPost([&ran] { ++ran; }));
    for (int i = 0; i < 500; ++i) pool.Post([&ran] { ++ran; });
  }
  EXPECT_EQ(ran, 1000);
}

TEST(WorkPoolTest, RefusesBeyondTheBoundButNotWhatMustNotBeLost) {
  Gate gate;
  std::atomic<int> ran = 0;
  {
    WorkPool pool(1, /*max_queued=*/2);
    ASSERT_TRUE(pool.TryPost([&gate] { gate.Pass(); }));
    ASSERT_TRUE(gate.AwaitWaiting(1));  // it runs: the queue is empty
    EXPECT_TRUE(pool.TryPost([&ran] { ++ran; }));
    EXPECT_TRUE(pool.TryPost([&ran] { ++ran; }));
    EXPECT_FALSE(pool.TryPost([&ran] { ran += 100; }));
    pool.Post([&ran] { ++ran; });
    gate.Open();
  }
  EXPECT_EQ(ran, 3);
}

TEST(WorkPoolTest, RunsAsManyAtOnceAsItHasThreads) {
  Gate gate;
  WorkPool pool(4, /*max_queued=*/10);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(pool.TryPost([&gate] { gate.Pass(); }));
  EXPECT_TRUE(gate.AwaitWaiting(4));
  gate.Open();
}

TEST(WorkPoolTest, TakesTasksThatCannotBeCopiedAndMayPostMore) {
  std::atomic<int> sum = 0;
  {
    WorkPool pool(2, /*max_queued=*/10);
    auto value = std::make_unique<int>(7);
    pool.Post([&pool, &sum, value = std::move(value)] {
      pool.Post([&sum, seven = *value] { sum += seven; });
    });
  }
  EXPECT_EQ(sum, 7);
}

}  // namespace
}  // namespace tao::base
