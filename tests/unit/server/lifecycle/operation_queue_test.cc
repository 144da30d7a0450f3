#include "server/lifecycle/operation_queue.h"

#include <gmock/gmock.h>
#include <algorithm>
#include <gtest/gtest.h>
#include <poll.h>

#include <vector>

namespace tao::lifecycle {
namespace {

// Blocks until `cancel` fires; false after 5 s.
bool WaitForCancel(const base::CancelToken& cancel) {
  pollfd waiting{.fd = cancel.fd(), .events = POLLIN, .revents = 0};
  return poll(&waiting, 1, 5000) == 1;
}

TEST(OperationQueueTest, OperationsOfOneServiceRunInOrder) {
  OperationQueue queue(8);
  std::vector<int> order;  // no lock: the queue's promise is that none is needed
  for (int i = 0; i < 50; ++i) {
    queue.Post("a", [&order, i](const base::CancelToken&) { order.push_back(i); });
  }
  queue.WaitIdle("a");
  ASSERT_EQ(order.size(), 50u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(OperationQueueTest, ServicesDoNotWaitForEachOther) {
  bool seen = false;
  base::CancelToken b_ran;  // outlives the queue, whose threads touch it
  OperationQueue queue(2);
  queue.Post("a", [&](const base::CancelToken&) { seen = WaitForCancel(b_ran); });
  queue.Post("b", [&](const base::CancelToken&) { b_ran.Cancel(); });
  queue.WaitIdle("a");
  EXPECT_TRUE(seen);
}

TEST(OperationQueueTest, CancelReachesTheOneThatRunsAndNotTheNext) {
  bool first_cancelled = false;
  bool second_cancelled = true;
  base::CancelToken running;
  OperationQueue queue(2);
  queue.Post("a", [&](const base::CancelToken& cancel) {
    running.Cancel();
    first_cancelled = WaitForCancel(cancel);
  });
  ASSERT_TRUE(WaitForCancel(running));
  queue.CancelCurrent("a");
  queue.Post("a", [&](const base::CancelToken& cancel) { second_cancelled = cancel.cancelled(); });
  queue.WaitIdle("a");
  EXPECT_TRUE(first_cancelled);
  EXPECT_FALSE(second_cancelled);
}

TEST(OperationQueueTest, ShutdownCancelsWhatRunsAndDropsWhatWaits) {
  bool cancelled = false;
  bool second_ran = false;
  base::CancelToken running;
  {
    OperationQueue queue(2);
    queue.Post("a", [&](const base::CancelToken& cancel) {
      running.Cancel();
      cancelled = WaitForCancel(cancel);
    });
    queue.Post("a", [&](const base::CancelToken&) { second_ran = true; });
    ASSERT_TRUE(WaitForCancel(running));
  }
  EXPECT_TRUE(cancelled);
  EXPECT_FALSE(second_ran);
}

}  // namespace
}  // namespace tao::lifecycle
