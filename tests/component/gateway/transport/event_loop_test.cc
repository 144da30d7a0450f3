#include "gateway/transport/event_loop.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace tao::transport {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(40);

// A descriptor that can be made readable, and how often the loop has told of it.
class Bell : public EventLoop::Watcher {
 public:
  explicit Bell(EventLoop& loop) : loop_(loop), fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    EXPECT_TRUE(loop_.Add(fd_, EPOLLIN, this));
  }
  ~Bell() override { Close(); }
  void Ring() { EXPECT_EQ(::eventfd_write(fd_, 1), 0); }
  void Close() {
    if (fd_ < 0) return;
    loop_.Remove(fd_, this);
    loop_.Forget(this);
    ::close(std::exchange(fd_, -1));
  }
  void OnEvents(uint32_t events) override {
    ++(events == 0 ? again : heard);
    if (on_events) on_events();
  }

  int heard = 0;
  int again = 0;
  absl::AnyInvocable<void()> on_events;

 private:
  EventLoop& loop_;
  int fd_;
};

TEST(EventLoopTest, TellsOnceOfWhatIsNotRead) {
  EventLoop loop;
  Bell bell(loop);
  bell.Ring();
  loop.RunOnce(kLimit);
  loop.RunOnce(absl::ZeroDuration());
  EXPECT_EQ(bell.heard, 1);
  bell.Ring();
  loop.RunOnce(kLimit);
  EXPECT_EQ(bell.heard, 2);
}

TEST(EventLoopTest, WhoIsRemovedHearsNothingMore) {
  EventLoop loop;
  Bell one(loop), other(loop);
  one.on_events = [&] { other.Close(); };
  other.on_events = [&] { one.Close(); };
  one.Ring();
  other.Ring();
  loop.RunOnce(kLimit);
  loop.RunOnce(absl::ZeroDuration());
  EXPECT_EQ(one.heard + other.heard, 1);
}

TEST(EventLoopTest, AgainIsForTheNextTurnAndOnce) {
  EventLoop loop;
  Bell bell(loop);
  bell.on_events = [&] {
    if (bell.again == 0) loop.Again(&bell);
    loop.Again(&bell);
  };
  bell.Ring();
  loop.RunOnce(kLimit);
  EXPECT_EQ(bell.heard, 1);
  EXPECT_EQ(bell.again, 1);  // at the end of the turn that heard of it
  bell.on_events = nullptr;
  loop.RunOnce(kLimit);  // does not wait
  EXPECT_EQ(bell.again, 2);
  loop.RunOnce(absl::ZeroDuration());
  EXPECT_EQ(bell.again, 2);
}

TEST(EventLoopTest, WhoIsForgottenIsNotCalledAgain) {
  EventLoop loop;
  Bell one(loop);
  {
    Bell other(loop);
    loop.Again(&one);
    loop.Again(&other);
    loop.Forget(&one);
  }
  loop.RunOnce(kLimit);
  EXPECT_EQ(one.again, 0);
}

TEST(EventLoopTest, OneMayForgetAnotherInTheSameTurn) {
  EventLoop loop;
  Bell one(loop), other(loop);
  one.on_events = [&] { other.Close(); };
  loop.Again(&one);
  loop.Again(&other);
  loop.RunOnce(kLimit);
  EXPECT_EQ(one.again, 1);
  EXPECT_EQ(other.again, 0);
}

TEST(EventLoopTest, WhatWasPostedGoesBeforeWhatWasHeard) {
  EventLoop loop;
  Bell bell(loop);
  int heard_before = -1;
  bell.Ring();
  loop.Post([&] { heard_before = bell.heard; });
  loop.RunOnce(kLimit);
  EXPECT_EQ(heard_before, 0);
  EXPECT_EQ(bell.heard, 1);
}

TEST(EventLoopTest, RunsEverythingThatManyThreadsPostInTheirOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 10'000;
  EventLoop loop;
  std::vector<int> next(kThreads, 0);
  int run = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        loop.Post([&, t, i] {
          EXPECT_EQ(next[static_cast<size_t>(t)]++, i);
          if (++run == kThreads * kEach) loop.Stop();
        });
      }
    });
  }
  loop.Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(run, kThreads * kEach);
}

}  // namespace
}  // namespace tao::transport
