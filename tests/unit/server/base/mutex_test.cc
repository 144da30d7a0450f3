#include "server/base/mutex.h"

#include <gtest/gtest.h>

#include <thread>

namespace tao::base {
namespace {

// Run under TSan too: the edges that mutex.h tells it are what this proves there.
TEST(MutexTest, ExcludesOtherThreads) {
  Mutex mutex;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10000; ++j) {
        MutexLock lock(mutex);
        ++count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 40000);
}

TEST(CondVarTest, PassesValuesBetweenThreads) {
  Mutex mutex;
  CondVar changed;
  std::vector<int> mailbox;
  std::vector<int> received;
  std::thread reader([&] {
    while (received.size() < 1000) {
      MutexLock lock(mutex);
      while (mailbox.empty()) changed.Wait(mutex);
      received.insert(received.end(), mailbox.begin(), mailbox.end());
      mailbox.clear();
    }
  });
  for (int i = 0; i < 1000; ++i) {
    {
      MutexLock lock(mutex);
      mailbox.push_back(i);
    }
    changed.Signal();
  }
  reader.join();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(received[static_cast<size_t>(i)], i);
}

TEST(CondVarTest, WaitWithTimeoutSaysWhetherTimePassed) {
  Mutex mutex;
  CondVar changed;
  {
    MutexLock lock(mutex);
    EXPECT_TRUE(changed.WaitWithTimeout(mutex, absl::Milliseconds(1)));
  }
  bool ready = false;
  std::thread setter([&] {
    MutexLock lock(mutex);
    ready = true;
    changed.SignalAll();
  });
  {
    MutexLock lock(mutex);
    bool timed_out = false;
    while (!ready && !timed_out) timed_out = changed.WaitWithTimeout(mutex, absl::Seconds(5));
    EXPECT_TRUE(ready);
  }
  setter.join();
}

}  // namespace
}  // namespace tao::base
