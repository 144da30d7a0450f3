#include "server/readiness/probe_schedule.h"

#include <absl/strings/str_format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tao::readiness {
namespace {

using routing::Phase;

constexpr absl::Duration kStart = absl::Seconds(1000);

registry::ServiceRecord RecordIn(Phase phase, std::string job_id = "job-1") {
  registry::ServiceRecord record;
  record.job_id = std::move(job_id);
  record.phase = phase;
  record.host_url = "http://localhost:8081";
  return record;
}

class ProbeScheduleTest : public testing::Test {
 protected:
  // The probe that is due now finds `found`, and the registry hears of it while it is in flight.
  void Probe(const registry::ServiceRecord& found, absl::Duration now) {
    const auto due = schedule_.TakeDue(now);
    ASSERT_TRUE(due.has_value());
    EXPECT_EQ(due->record->job_id, found.job_id);
    schedule_.OnChange(found, now);
    schedule_.Finished(found.job_id, now);
  }

  ProberConfig config_;
  ProbeSchedule schedule_{config_, /*seed=*/1};
};

TEST_F(ProbeScheduleTest, ANewServiceIsDueAtOnce) {
  EXPECT_EQ(schedule_.NextDue(), absl::InfiniteDuration());
  schedule_.OnChange(RecordIn(Phase::kStarting), kStart);
  EXPECT_EQ(schedule_.NextDue(), kStart);
  const auto due = schedule_.TakeDue(kStart);
  ASSERT_TRUE(due.has_value());
  EXPECT_EQ(due->record->job_id, "job-1");
  EXPECT_TRUE(due->ask_platform);
  EXPECT_FALSE(schedule_.TakeDue(kStart + absl::Hours(1)).has_value()) << "it is in flight";
}

TEST_F(ProbeScheduleTest, WaitsGrowFrom1To10SecondsWithJitter) {
  schedule_.OnChange(RecordIn(Phase::kLoading), kStart);
  absl::Duration now = kStart, last = absl::ZeroDuration();
  std::vector<absl::Duration> waits;
  for (int i = 0; i < 12; ++i) {
    Probe(RecordIn(Phase::kLoading), now);
    last = schedule_.NextDue() - now;
    waits.push_back(last);
    now = schedule_.NextDue();
  }
  EXPECT_GE(waits.front(), absl::Seconds(0.8));
  EXPECT_LE(waits.front(), absl::Seconds(1.2));
  EXPECT_GE(waits.back(), absl::Seconds(8));
  for (const absl::Duration wait : waits) EXPECT_LE(wait, absl::Seconds(10));
}

TEST_F(ProbeScheduleTest, ReadyIsProbedEvery30Seconds) {
  schedule_.OnChange(RecordIn(Phase::kLoading), kStart);
  Probe(RecordIn(Phase::kReady), kStart);
  for (int i = 0; i < 5; ++i) {
    const absl::Duration begun = schedule_.NextDue();
    Probe(RecordIn(Phase::kReady), begun);
    EXPECT_GE(schedule_.NextDue() - begun, absl::Seconds(25));
    EXPECT_LE(schedule_.NextDue() - begun, absl::Seconds(30));
  }
}

TEST_F(ProbeScheduleTest, ANewPhaseStartsTheWaitsAnew) {
  schedule_.OnChange(RecordIn(Phase::kLoading), kStart);
  absl::Duration now = kStart;
  for (int i = 0; i < 8; ++i, now = schedule_.NextDue()) Probe(RecordIn(Phase::kLoading), now);
  Probe(RecordIn(Phase::kReady), now);
  now = schedule_.NextDue();
  Probe(RecordIn(Phase::kUnreachable), now);
  EXPECT_LE(schedule_.NextDue() - now, absl::Seconds(1.2));
}

TEST_F(ProbeScheduleTest, AChangeFromOutsideIsDueAtOnce) {
  schedule_.OnChange(RecordIn(Phase::kReady), kStart);
  Probe(RecordIn(Phase::kReady), kStart);
  const absl::Duration now = kStart + absl::Seconds(5);
  ASSERT_GT(schedule_.NextDue(), now);
  registry::ServiceRecord moved = RecordIn(Phase::kReady);
  moved.host_url = "http://localhost:8082";
  schedule_.OnChange(moved, now);
  EXPECT_EQ(schedule_.NextDue(), now);
  Probe(moved, now);
  schedule_.OnChange(RecordIn(Phase::kStarting), now + absl::Seconds(1));
  EXPECT_EQ(schedule_.NextDue(), now + absl::Seconds(1));
}

// Every finding writes texts into the record; that must not cause the next probe.
TEST_F(ProbeScheduleTest, ANewTextIsNoChange) {
  schedule_.OnChange(RecordIn(Phase::kLoading), kStart);
  Probe(RecordIn(Phase::kLoading), kStart);
  const absl::Duration due = schedule_.NextDue();
  registry::ServiceRecord told = RecordIn(Phase::kLoading);
  told.progress.message = "shard 4 of 8";
  told.message = "shard 4 of 8";
  schedule_.OnChange(told, kStart + absl::Milliseconds(1));
  EXPECT_EQ(schedule_.NextDue(), due);
}

TEST_F(ProbeScheduleTest, AnOtherEndpointWhileInFlightIsProbedNext) {
  schedule_.OnChange(RecordIn(Phase::kStarting), kStart);
  ASSERT_TRUE(schedule_.TakeDue(kStart).has_value());
  registry::ServiceRecord moved = RecordIn(Phase::kStarting);
  moved.host_port = 8090;
  schedule_.OnChange(moved, kStart + absl::Seconds(1));
  EXPECT_FALSE(schedule_.TakeDue(kStart + absl::Seconds(1)).has_value()) << "one at a time";
  schedule_.Finished("job-1", kStart + absl::Seconds(2));
  EXPECT_EQ(schedule_.NextDue(), kStart + absl::Seconds(2));
  EXPECT_EQ(schedule_.TakeDue(kStart + absl::Seconds(2))->record->host_port, 8090);
}

TEST_F(ProbeScheduleTest, AFailedExchangeIsDueAtOnceAtMostEvery100Milliseconds) {
  schedule_.OnChange(RecordIn(Phase::kReady), kStart);
  Probe(RecordIn(Phase::kReady), kStart);
  absl::Duration now = kStart + absl::Seconds(1);
  schedule_.OnExchangeFailed("job-1", now);
  EXPECT_EQ(schedule_.NextDue(), now);
  const auto due = schedule_.TakeDue(now);
  ASSERT_TRUE(due.has_value());
  EXPECT_FALSE(due->ask_platform) << "only if the container does not answer";
  // A hundred more while that one is in flight are one more.
  for (int i = 0; i < 100; ++i) schedule_.OnExchangeFailed("job-1", now);
  schedule_.Finished("job-1", now + absl::Milliseconds(5));
  EXPECT_EQ(schedule_.NextDue(), now + absl::Milliseconds(100));
  ASSERT_TRUE(schedule_.TakeDue(now + absl::Milliseconds(100)).has_value());
  schedule_.Finished("job-1", now + absl::Milliseconds(105));
  EXPECT_GE(schedule_.NextDue(), now + absl::Seconds(25));
}

TEST_F(ProbeScheduleTest, TheRegularProbeAsksThePlatformAgain) {
  schedule_.OnChange(RecordIn(Phase::kReady), kStart);
  Probe(RecordIn(Phase::kReady), kStart);
  schedule_.OnExchangeFailed("job-1", kStart + absl::Seconds(1));
  Probe(RecordIn(Phase::kReady), kStart + absl::Seconds(1));
  EXPECT_TRUE(schedule_.TakeDue(schedule_.NextDue())->ask_platform);
}

TEST_F(ProbeScheduleTest, AnExchangeThatFailsWhileItIsNotReadyAsksThePlatform) {
  schedule_.OnChange(RecordIn(Phase::kUnreachable), kStart);
  Probe(RecordIn(Phase::kUnreachable), kStart);
  schedule_.OnExchangeFailed("job-1", kStart + absl::Milliseconds(500));
  EXPECT_TRUE(schedule_.TakeDue(kStart + absl::Milliseconds(500))->ask_platform);
}

TEST_F(ProbeScheduleTest, OnlyProbedPhasesAreScheduled) {
  for (const Phase phase :
       {Phase::kLaunching, Phase::kPending, Phase::kDraining, Phase::kFailed, Phase::kStopped}) {
    schedule_.OnChange(RecordIn(phase), kStart);
    EXPECT_EQ(schedule_.NextDue(), absl::InfiniteDuration()) << routing::ToString(phase);
    EXPECT_FALSE(schedule_.Knows("job-1"));
  }
  for (const Phase phase : {Phase::kDraining, Phase::kFailed, Phase::kStopped}) {
    schedule_.OnChange(RecordIn(Phase::kReady), kStart);
    EXPECT_TRUE(schedule_.Knows("job-1"));
    schedule_.OnChange(RecordIn(phase), kStart);
    EXPECT_EQ(schedule_.NextDue(), absl::InfiniteDuration()) << routing::ToString(phase);
    EXPECT_FALSE(schedule_.Knows("job-1"));
  }
  schedule_.OnExchangeFailed("job-1", kStart);
  EXPECT_EQ(schedule_.NextDue(), absl::InfiniteDuration());
}

TEST_F(ProbeScheduleTest, WhatIsForgottenInFlightStaysForgotten) {
  schedule_.OnChange(RecordIn(Phase::kReady), kStart);
  ASSERT_TRUE(schedule_.TakeDue(kStart).has_value());
  schedule_.OnExchangeFailed("job-1", kStart);
  schedule_.OnChange(RecordIn(Phase::kDraining), kStart);
  EXPECT_FALSE(schedule_.Knows("job-1"));
  schedule_.OnExchangeFailed("job-1", kStart);
  schedule_.Finished("job-1", kStart);
  EXPECT_EQ(schedule_.NextDue(), absl::InfiniteDuration());
}

// A foreign entry that another tool removes and writes again: still one finding at a time.
TEST_F(ProbeScheduleTest, WhatComesBackInFlightIsProbedAfterIt) {
  schedule_.OnChange(RecordIn(Phase::kReady), kStart);
  ASSERT_TRUE(schedule_.TakeDue(kStart).has_value());
  schedule_.OnChange(RecordIn(Phase::kStopped), kStart);
  schedule_.OnChange(RecordIn(Phase::kStarting), kStart);
  EXPECT_FALSE(schedule_.TakeDue(kStart + absl::Hours(1)).has_value());
  schedule_.Finished("job-1", kStart + absl::Seconds(1));
  EXPECT_EQ(schedule_.NextDue(), kStart + absl::Seconds(1));
}

TEST_F(ProbeScheduleTest, AtMost64InFlightAndAllGetTheirTurn) {
  for (int i = 0; i < 200; ++i) {
    schedule_.OnChange(RecordIn(Phase::kStarting, absl::StrFormat("job-%d", i)), kStart);
  }
  std::set<std::string> probed;
  while (probed.size() < 200) {
    std::vector<std::string> in_flight;
    while (const auto due = schedule_.TakeDue(kStart)) in_flight.push_back(due->record->job_id);
    ASSERT_FALSE(in_flight.empty());
    ASSERT_LE(in_flight.size(), 64u);
    if (in_flight.size() == 64u) {
      EXPECT_EQ(schedule_.NextDue(), absl::InfiniteDuration());
    }
    for (const std::string& job_id : in_flight) {
      EXPECT_TRUE(probed.insert(job_id).second) << job_id << " twice";
      schedule_.Finished(job_id, kStart);
    }
  }
}

TEST_F(ProbeScheduleTest, ServicesDoNotFallIntoStep) {
  std::set<absl::Duration> dues;
  for (int i = 0; i < 20; ++i) {
    ProbeSchedule one(config_, /*seed=*/100 + i);
    one.OnChange(RecordIn(Phase::kLoading), kStart);
    one.TakeDue(kStart);
    one.Finished("job-1", kStart);
    dues.insert(one.NextDue());
  }
  EXPECT_GT(dues.size(), 10u);
}

}  // namespace
}  // namespace tao::readiness
