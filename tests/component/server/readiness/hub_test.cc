#include "server/readiness/hub.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace tao::readiness {
namespace {

using routing::Phase;

registry::ServiceRecord RecordAt(uint64_t revision, Phase phase = Phase::kLoading,
                                 std::string job_id = "job-1") {
  registry::ServiceRecord record;
  record.job_id = std::move(job_id);
  record.phase = phase;
  record.revision = revision;
  record.message = "shard " + std::to_string(revision);
  return record;
}

void DoNothing() {}

uint64_t RevisionOf(const std::optional<registry::ServiceRecord>& record) {
  return record.has_value() ? record->revision : 0;
}

TEST(HubTest, ThePresentStateIsThereAtOnce) {
  Hub hub;
  hub.OnChange(RecordAt(1));
  hub.OnChange(RecordAt(2));
  const auto watcher = hub.Watch("job-1", DoNothing);
  ASSERT_NE(watcher, nullptr);
  EXPECT_EQ(RevisionOf(watcher->Take()), 2u);
  EXPECT_FALSE(watcher->Take().has_value());
}

TEST(HubTest, WhatDoesNotExistCannotBeWatched) {
  Hub hub;
  EXPECT_EQ(hub.Watch("job-1", DoNothing), nullptr);
  hub.OnChange(RecordAt(1));
  hub.OnChange(RecordAt(2, Phase::kStopped));
  EXPECT_EQ(hub.Watch("job-1", DoNothing), nullptr);
}

TEST(HubTest, EachChangeIsToldToTheWatchersOfThatService) {
  Hub hub;
  hub.OnChange(RecordAt(1, Phase::kLoading, "job-1"));
  hub.OnChange(RecordAt(2, Phase::kLoading, "job-2"));
  int calls = 0;
  const auto watcher = hub.Watch("job-1", [&] { ++calls; });
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(RevisionOf(watcher->Take()), 1u);
  hub.OnChange(RecordAt(3, Phase::kReady, "job-2"));
  EXPECT_EQ(calls, 0);
  hub.OnChange(RecordAt(4, Phase::kReady, "job-1"));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(RevisionOf(watcher->Take()), 4u);
}

TEST(HubTest, TheFinalStateWaitsForItsReader) {
  Hub hub;
  hub.OnChange(RecordAt(1));
  const auto watcher = hub.Watch("job-1", DoNothing);
  hub.OnChange(RecordAt(2, Phase::kDraining));
  hub.OnChange(RecordAt(3, Phase::kStopped));
  EXPECT_EQ(hub.Watch("job-1", DoNothing), nullptr) << "the hub has forgotten it";
  const auto last = watcher->Take();
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->phase, Phase::kStopped);
  EXPECT_FALSE(watcher->Take().has_value());
}

TEST(HubTest, NoCallFollowsTheEndOfASubscription) {
  Hub hub;
  hub.OnChange(RecordAt(1));
  int calls = 0;
  hub.Watch("job-1", [&] { ++calls; }).reset();
  hub.OnChange(RecordAt(2));
  EXPECT_EQ(calls, 0);
}

// A stream that sees READY ends itself from inside the call.
TEST(HubTest, ASubscriptionMayEndInItsOwnCall) {
  Hub hub;
  hub.OnChange(RecordAt(1));
  std::unique_ptr<Subscription> watcher;
  int calls = 0;
  watcher = hub.Watch("job-1", [&] {
    ++calls;
    watcher.reset();
  });
  hub.OnChange(RecordAt(2, Phase::kReady));
  hub.OnChange(RecordAt(3, Phase::kLoading));
  EXPECT_EQ(calls, 1);
}

TEST(HubTest, TheEndOfASubscriptionWaitsForItsRunningCall) {
  Hub hub;
  hub.OnChange(RecordAt(1));
  std::atomic<bool> inside = false, may_leave = false, left = false;
  auto watcher = hub.Watch("job-1", [&] {
    inside = true;
    inside.notify_one();
    may_leave.wait(false);
    left = true;
  });
  std::thread teller([&] { hub.OnChange(RecordAt(2)); });
  inside.wait(false);
  std::thread opener([&] {
    may_leave = true;
    may_leave.notify_one();
  });
  watcher.reset();
  EXPECT_TRUE(left);
  teller.join();
  opener.join();
}

// One that never reads holds up nobody, costs one state, and gets the newest at last.
TEST(HubTest, ASlowWatcherAmong100GetsTheNewestState) {
  constexpr int kFast = 99;
  constexpr uint64_t kChanges = 2000;
  Hub hub;
  hub.OnChange(RecordAt(1));

  struct Reader {
    std::unique_ptr<Subscription> subscription;
    uint64_t last = 0;
    int taken = 0;
    bool in_order = true;
    Phase phase = Phase::kLoading;
    void Read() {
      while (const auto record = subscription->Take()) {
        in_order &= record->revision > last;
        last = record->revision;
        phase = record->phase;
        ++taken;
      }
    }
  };
  std::vector<Reader> fast(kFast);
  for (Reader& reader : fast) {
    reader.subscription = hub.Watch("job-1", [&reader] { reader.Read(); });
    reader.Read();
  }
  // Reads when it is woken, in a thread of its own, and is always late.
  std::atomic<int> news = 0;
  const auto lagging = hub.Watch("job-1", [&] {
    ++news;
    news.notify_one();
  });
  const auto slow = hub.Watch("job-1", DoNothing);

  std::thread teller([&] {
    for (uint64_t i = 2; i <= kChanges; ++i) hub.OnChange(RecordAt(i));
    hub.OnChange(RecordAt(kChanges + 1, Phase::kStopped));
  });
  uint64_t lagging_last = 0;
  bool lagging_in_order = true;
  for (int seen = 0; lagging_last <= kChanges;) {
    while (const auto record = lagging->Take()) {
      lagging_in_order &= record->revision > lagging_last;
      lagging_last = record->revision;
    }
    if (lagging_last > kChanges) break;
    news.wait(seen);
    seen = news;
  }
  teller.join();

  EXPECT_TRUE(lagging_in_order);
  for (const Reader& reader : fast) {
    EXPECT_EQ(reader.last, kChanges + 1);
    EXPECT_EQ(reader.phase, Phase::kStopped);
    EXPECT_EQ(reader.taken, static_cast<int>(kChanges) + 1);
    EXPECT_TRUE(reader.in_order);
  }
  const auto newest = slow->Take();
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->revision, kChanges + 1);
  EXPECT_EQ(newest->phase, Phase::kStopped);
  EXPECT_FALSE(slow->Take().has_value());
}

// Watchers come and go while the registry tells changes (for TSan and ASan).
TEST(HubTest, WatchersComeAndGoDuringChanges) {
  Hub hub;
  hub.OnChange(RecordAt(1));
  std::atomic<bool> done = false;
  std::atomic<int> calls = 0;
  std::vector<std::thread> watchers;
  for (int i = 0; i < 4; ++i) {
    watchers.emplace_back([&] {
      while (!done) {
        const auto watcher = hub.Watch("job-1", [&] { ++calls; });
        if (watcher != nullptr) watcher->Take();
      }
    });
  }
  for (uint64_t i = 2; i < 2000; ++i) hub.OnChange(RecordAt(i));
  hub.OnChange(RecordAt(2000, Phase::kStopped));
  done = true;
  for (std::thread& watcher : watchers) watcher.join();
  EXPECT_EQ(hub.Watch("job-1", DoNothing), nullptr);
}

}  // namespace
}  // namespace tao::readiness
