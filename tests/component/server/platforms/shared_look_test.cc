#include "server/platforms/shared_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using testing::HasSubstr;

// What is asked: how many looks there were when this one began. Held while `gate` is open.
class World {
 public:
  absl::StatusOr<int> Look(const base::CancelToken& cancel) {
    base::MutexLock lock(mutex_);
    const int mine = ++looks_;
    changed_.SignalAll();
    while (held_ && !cancel.cancelled()) changed_.WaitWithTimeout(mutex_, absl::Milliseconds(5));
    if (cancel.cancelled()) return absl::CancelledError("cancelled");
    if (!error_.ok()) return error_;
    return mine;
  }
  void Hold(bool held) {
    base::MutexLock lock(mutex_);
    held_ = held;
    changed_.SignalAll();
  }
  void FailWith(absl::Status error) {
    base::MutexLock lock(mutex_);
    error_ = std::move(error);
  }
  int looks() {
    base::MutexLock lock(mutex_);
    return looks_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  int looks_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
};

class SharedLookTest : public testing::Test {
 protected:
  using Shared = SharedLook<int>;

  Shared Of(SharedLookOptions options) {
    return Shared(
        "it", [this](const base::CancelToken& cancel) { return world_.Look(cancel); }, options);
  }
  static absl::StatusOr<int> Ask(Shared& shared, const std::string& who, bool good = true) {
    const auto answer = shared.Get(who, [good](const int&) { return good; });
    if (!answer.ok()) return answer.status();
    return **answer;
  }

  World world_;
};

TEST_F(SharedLookTest, ManyWhoAskAtOnceHaveOneLook) {
  Shared shared = Of({.patience = absl::Seconds(5)});
  world_.Hold(true);
  std::atomic<int> sum = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] { sum += *Ask(shared, "job-" + std::to_string(i)); });
  }
  const absl::Time limit = absl::Now() + absl::Seconds(5);
  while (world_.looks() == 0 && absl::Now() < limit) std::this_thread::yield();
  world_.Hold(false);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 16) << "the first look's answer, for each";
  EXPECT_EQ(world_.looks(), 1);
}

TEST_F(SharedLookTest, GoodNewsServeEachAskerOnce) {
  Shared shared = Of({.fresh = absl::Seconds(60)});
  EXPECT_EQ(*Ask(shared, "a"), 1);
  EXPECT_EQ(*Ask(shared, "b"), 1);
  EXPECT_EQ(*Ask(shared, "a"), 2) << "again at once, it wants news";
  EXPECT_EQ(*Ask(shared, "b"), 2);
}

TEST_F(SharedLookTest, GoodNewsGrowOld) {
  Shared shared = Of({.fresh = absl::ZeroDuration()});
  EXPECT_EQ(*Ask(shared, "a"), 1);
  EXPECT_EQ(*Ask(shared, "b"), 2);
}

// A container that was started a moment ago is not in an answer of before.
TEST_F(SharedLookTest, BadNewsAreNeverOlderThanTheQuestion) {
  Shared shared = Of({.fresh = absl::Seconds(60)});
  EXPECT_EQ(*Ask(shared, "a"), 1);
  EXPECT_EQ(*Ask(shared, "b", /*good=*/false), 2);
  EXPECT_EQ(*Ask(shared, "c", /*good=*/false), 3);
}

TEST_F(SharedLookTest, AnErrorIsSharedToo) {
  Shared shared = Of({.fresh = absl::Seconds(60)});
  world_.FailWith(absl::UnavailableError("it is down"));
  for (const char* who : {"a", "b", "c"}) {
    EXPECT_EQ(Ask(shared, who).status().message(), "it is down");
  }
  EXPECT_EQ(world_.looks(), 1);
  world_.FailWith(absl::OkStatus());
  EXPECT_EQ(*Ask(shared, "a"), 2);
}

TEST_F(SharedLookTest, ALookThatHangsHoldsNobodyAndItsAnswerIsKept) {
  Shared shared = Of({.fresh = absl::ZeroDuration(), .patience = absl::Milliseconds(50)});
  world_.Hold(true);
  const absl::Time begin = absl::Now();
  const absl::Status late = Ask(shared, "a", /*good=*/false).status();
  EXPECT_EQ(late.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(base::ToStd(late.message())), HasSubstr("it has not answered for"));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(Ask(shared, "b").status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_EQ(world_.looks(), 1);
  world_.Hold(false);
  const absl::Time limit = absl::Now() + absl::Seconds(5);
  absl::StatusOr<int> answer = Ask(shared, "a", /*good=*/false);
  while (!answer.ok() && absl::Now() < limit) answer = Ask(shared, "a", /*good=*/false);
  EXPECT_EQ(*answer, 1) << "it began after a's question, and came after a had left";
  EXPECT_EQ(*Ask(shared, "a", /*good=*/false), 2);
}

TEST_F(SharedLookTest, ItsEndEndsALookThatHangs) {
  world_.Hold(true);
  const absl::Time begin = absl::Now();
  {
    Shared shared = Of({.patience = absl::Milliseconds(1)});
    EXPECT_FALSE(Ask(shared, "a").ok());
  }
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

}  // namespace
}  // namespace tao::platforms
