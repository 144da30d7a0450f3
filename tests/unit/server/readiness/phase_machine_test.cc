#include "server/readiness/phase_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tao::readiness {
namespace {

using routing::Phase;
using testing::HasSubstr;
using Outcome = ProbeResult::Outcome;
using State = platforms::PlatformState::State;

const absl::Time kNow = absl::FromUnixSeconds(1'795'425'966);

// A service that has run for a minute, with the limits of design.md.
registry::ServiceRecord RecordIn(Phase phase) {
  registry::ServiceRecord record;
  record.job_id = "job-1";
  record.platform = "local-docker";
  record.host_url = "http://localhost:8081";
  record.progress_timeout = absl::Seconds(600);
  record.startup_timeout = absl::Hours(2);
  record.phase = phase;
  record.started_at = record.phase_since = record.progress_since = kNow - absl::Minutes(1);
  if (phase == Phase::kReady || phase == Phase::kUnreachable) record.ready_at = record.phase_since;
  return record;
}

struct PhaseCase {
  std::string name;
  Phase phase;
  std::optional<State> platform;  // empty: not asked, or could not be asked
  std::optional<ProbeResult> probe;
  Phase want;
  std::string want_reason;
  bool want_changed = true;
};

class PhaseMachineTest : public testing::TestWithParam<PhaseCase> {};

TEST_P(PhaseMachineTest, FollowsWhatWasFound) {
  const registry::ServiceRecord record = RecordIn(GetParam().phase);
  PhaseInput input{.record = &record, .probe = GetParam().probe, .now = kNow};
  if (GetParam().platform.has_value()) {
    input.platform = platforms::PlatformState{.state = *GetParam().platform};
  }
  const PhaseDecision decision = DecidePhase(input);
  EXPECT_EQ(routing::ToString(decision.phase), routing::ToString(GetParam().want));
  EXPECT_EQ(decision.reason, GetParam().want_reason);
  EXPECT_EQ(decision.changed, GetParam().want_changed);
}

const ProbeResult kNoAnswer = {.outcome = Outcome::kNoAnswer};
const ProbeResult kReady = {.outcome = Outcome::kReady};
const ProbeResult kOurs = {.outcome = Outcome::kReady, .job_id = "job-1"};
const ProbeResult kOthers = {.outcome = Outcome::kReady, .job_id = "job-2"};
const ProbeResult kInit = {.outcome = Outcome::kInitializing, .reason = "server_initializing"};
const ProbeResult kLoading = {.outcome = Outcome::kLoading, .reason = "model_loading"};
const ProbeResult kNotLoaded = {.outcome = Outcome::kLoading, .reason = "model_not_loaded"};
const ProbeResult kNotReady = {.outcome = Outcome::kLoading, .reason = "model_not_ready"};
const ProbeResult kLoadFailed = {.outcome = Outcome::kFailed, .reason = "model_load_failed"};
const ProbeResult kUnknown = {.outcome = Outcome::kUnknownAnswer, .message = "HTTP 404"};
const ProbeResult kOthersLoading = {
    .outcome = Outcome::kLoading, .reason = "model_loading", .job_id = "job-2"};
const ProbeResult kOthersFailed = {
    .outcome = Outcome::kFailed, .reason = "model_load_failed", .job_id = "job-2"};
constexpr std::nullopt_t kNone = std::nullopt;
constexpr bool kSame = false;

INSTANTIATE_TEST_SUITE_P(
    Probes, PhaseMachineTest,
    testing::ValuesIn<PhaseCase>({
        // On the way up.
        {"StartingNoAnswer", Phase::kStarting, kNone, kNoAnswer, Phase::kStarting, "", kSame},
        {"StartingInitializing", Phase::kStarting, kNone, kInit, Phase::kInitializing,
         "server_initializing"},
        {"StartingLoading", Phase::kStarting, kNone, kLoading, Phase::kLoading, "model_loading"},
        {"StartingReady", Phase::kStarting, kNone, kReady, Phase::kReady, ""},
        {"StartingUnknown", Phase::kStarting, kNone, kUnknown, Phase::kStarting, "unknown_answer"},
        {"InitializingLoading", Phase::kInitializing, kNone, kLoading, Phase::kLoading,
         "model_loading"},
        {"InitializingNotLoaded", Phase::kInitializing, kNone, kNotLoaded, Phase::kLoading,
         "model_not_loaded"},
        {"InitializingNotReady", Phase::kInitializing, kNone, kNotReady, Phase::kLoading,
         "model_not_ready"},
        {"InitializingNoAnswer", Phase::kInitializing, kNone, kNoAnswer, Phase::kInitializing, "",
         kSame},
        {"InitializingUnknown", Phase::kInitializing, kNone, kUnknown, Phase::kInitializing, "",
         kSame},
        {"InitializingFailed", Phase::kInitializing, kNone, kLoadFailed, Phase::kFailed,
         "model_load_failed"},
        {"LoadingNoAnswer", Phase::kLoading, kNone, kNoAnswer, Phase::kLoading, "", kSame},
        {"LoadingUnknown", Phase::kLoading, kNone, kUnknown, Phase::kLoading, "", kSame},
        {"LoadingFailed", Phase::kLoading, kNone, kLoadFailed, Phase::kFailed, "model_load_failed"},
        {"LoadingReady", Phase::kLoading, kNone, kOurs, Phase::kReady, ""},
        // READY and back.
        {"ReadyStays", Phase::kReady, State::kRunning, kOurs, Phase::kReady, "", kSame},
        {"ReadyLoadsAgain", Phase::kReady, kNone, kLoading, Phase::kLoading, "model_loading"},
        {"ReadyStartsAgain", Phase::kReady, kNone, kInit, Phase::kInitializing,
         "server_initializing"},
        {"ReadyNoAnswer", Phase::kReady, kNone, kNoAnswer, Phase::kUnreachable, "no_answer"},
        {"ReadyNoAnswerStillRuns", Phase::kReady, State::kRunning, kNoAnswer, Phase::kUnreachable,
         "no_answer"},
        {"ReadyUnknown", Phase::kReady, kNone, kUnknown, Phase::kUnreachable, "unknown_answer"},
        {"ReadyFailed", Phase::kReady, kNone, kLoadFailed, Phase::kFailed, "model_load_failed"},
        {"UnreachableReady", Phase::kUnreachable, kNone, kReady, Phase::kReady, ""},
        {"UnreachableLoading", Phase::kUnreachable, kNone, kLoading, Phase::kLoading,
         "model_loading"},
        {"UnreachableNoAnswer", Phase::kUnreachable, kNone, kNoAnswer, Phase::kUnreachable, "",
         kSame},
        // Another service has the port.
        {"LoadingReadyOfAnother", Phase::kLoading, kNone, kOthers, Phase::kFailed,
         "foreign_backend"},
        {"ReadyOfAnother", Phase::kReady, kNone, kOthers, Phase::kFailed, "foreign_backend"},
        {"LoadingOfAnother", Phase::kInitializing, kNone, kOthersLoading, Phase::kInitializing, "",
         kSame},
        {"FailedOfAnother", Phase::kLoading, kNone, kOthersFailed, Phase::kLoading, "", kSame},
        {"ReadyLoadingOfAnother", Phase::kReady, kNone, kOthersLoading, Phase::kUnreachable,
         "unknown_answer"},
        // Nothing was found.
        {"NothingFound", Phase::kLoading, kNone, kNone, Phase::kLoading, "", kSame},
    }),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Platforms, PhaseMachineTest,
    testing::ValuesIn<PhaseCase>({
        {"RunningSaysNothing", Phase::kLoading, State::kRunning, kNone, Phase::kLoading, "", kSame},
        {"PendingSaysNothing", Phase::kLoading, State::kPending, kLoading, Phase::kLoading,
         "model_loading"},
        {"ExitWinsOverReady", Phase::kLoading, State::kFailed, kOurs, Phase::kFailed, "exited"},
        {"ExitWinsOverAFailure", Phase::kLoading, State::kFailed, kLoadFailed, Phase::kFailed,
         "exited"},
        {"StartingExitedWithZero", Phase::kStarting, State::kExited, kNoAnswer, Phase::kFailed,
         "exited"},
        {"LoadingExitedWithZero", Phase::kLoading, State::kExited, kNone, Phase::kFailed, "exited"},
        {"ReadyExitedWithZero", Phase::kReady, State::kExited, kNoAnswer, Phase::kStopped,
         "idle_shutdown"},
        {"UnreachableExitedWithZero", Phase::kUnreachable, State::kExited, kNoAnswer,
         Phase::kStopped, "idle_shutdown"},
        {"ReadyCrashed", Phase::kReady, State::kFailed, kNoAnswer, Phase::kFailed, "exited"},
        {"UnreachableCrashed", Phase::kUnreachable, State::kFailed, kNone, Phase::kFailed,
         "exited"},
        {"LoadingGone", Phase::kLoading, State::kGone, kNoAnswer, Phase::kFailed, "gone"},
        {"ReadyGone", Phase::kReady, State::kGone, kNoAnswer, Phase::kStopped, "gone"},
        {"UnreachableGone", Phase::kUnreachable, State::kGone, kNoAnswer, Phase::kStopped, "gone"},
    }),
    [](const auto& row) { return row.param.name; });

// They belong to Launch and Stop, or are final: nothing that is found moves them.
INSTANTIATE_TEST_SUITE_P(
    NotOurs, PhaseMachineTest,
    testing::ValuesIn<PhaseCase>({
        {"Launching", Phase::kLaunching, State::kFailed, kReady, Phase::kLaunching, "", kSame},
        {"Pending", Phase::kPending, State::kGone, kLoadFailed, Phase::kPending, "", kSame},
        {"Draining", Phase::kDraining, State::kExited, kNoAnswer, Phase::kDraining, "", kSame},
        {"Failed", Phase::kFailed, State::kRunning, kReady, Phase::kFailed, "", kSame},
        {"Stopped", Phase::kStopped, State::kRunning, kReady, Phase::kStopped, "", kSame},
    }),
    [](const auto& row) { return row.param.name; });

struct TimeoutCase {
  std::string name;
  Phase phase;
  absl::Duration since_start, since_progress;
  std::optional<ProbeResult> probe;
  Phase want;
  bool was_ready = false;
  registry::Progress progress;  // of the record
};

class StartTimeoutTest : public testing::TestWithParam<TimeoutCase> {};

TEST_P(StartTimeoutTest, EndsAStartThatDoesNotGetAnywhere) {
  registry::ServiceRecord record = RecordIn(GetParam().phase);
  record.started_at = kNow - GetParam().since_start;
  record.progress_since = kNow - GetParam().since_progress;
  record.progress = GetParam().progress;
  record.reason = "model_loading";
  if (GetParam().was_ready) record.ready_at = record.started_at + absl::Minutes(5);
  const PhaseDecision decision =
      DecidePhase({.record = &record, .probe = GetParam().probe, .now = kNow});
  EXPECT_EQ(routing::ToString(decision.phase), routing::ToString(GetParam().want));
  EXPECT_EQ(decision.reason == "start_timeout", GetParam().want == Phase::kFailed);
}

ProbeResult LoadingWith(std::string message) {
  ProbeResult probe = kLoading;
  probe.progress = registry::Progress{.stage = "loading_model", .message = std::move(message)};
  return probe;
}

constexpr absl::Duration kMinute = absl::Minutes(1);
constexpr absl::Duration kTooStill = absl::Seconds(600), kTooLong = absl::Hours(2);
const registry::Progress kShard3 = {.stage = "loading_model", .message = "shard 3"};

INSTANTIATE_TEST_SUITE_P(
    Rules, StartTimeoutTest,
    testing::ValuesIn<TimeoutCase>({
        {"JustBefore", Phase::kLoading, kTooLong - absl::Seconds(1), kTooStill - absl::Seconds(1),
         kLoading, Phase::kLoading},
        {"NoProgress", Phase::kLoading, kTooStill, kTooStill, kLoading, Phase::kFailed},
        {"NoProgressSameText", Phase::kLoading, kTooStill, kTooStill, LoadingWith("shard 3"),
         Phase::kFailed, false, kShard3},
        {"NewProgress", Phase::kLoading, kTooStill, kTooStill, LoadingWith("shard 4"),
         Phase::kLoading, false, kShard3},
        {"NewPhase", Phase::kInitializing, kTooStill, kTooStill, kLoading, Phase::kLoading},
        {"NeverAnswered", Phase::kStarting, kTooStill, kTooStill, kNoAnswer, Phase::kFailed},
        {"UnknownAnswers", Phase::kStarting, kTooStill, kTooStill, kUnknown, Phase::kFailed},
        {"TooLongInAll", Phase::kLoading, kTooLong, kMinute, LoadingWith("shard 4"), Phase::kFailed,
         false, kShard3},
        {"ReadyAtLast", Phase::kLoading, kTooLong, kTooStill, kReady, Phase::kReady},
        {"NotProbed", Phase::kLoading, kTooLong, kTooStill, kNone, Phase::kLoading},
        // Once READY there is no limit in all; to load again has only the one without progress.
        {"ReadyHasNoLimit", Phase::kReady, kTooLong, kTooStill, kReady, Phase::kReady, true},
        {"UnreachableHasNoLimit", Phase::kUnreachable, kTooLong, kTooLong, kNoAnswer,
         Phase::kUnreachable, true},
        {"ReadyLoadsAgain", Phase::kReady, kTooLong, kTooLong, kLoading, Phase::kLoading, true},
        {"LoadsAgain", Phase::kLoading, kTooLong, kMinute, kLoading, Phase::kLoading, true},
        {"LoadsAgainForEver", Phase::kLoading, kTooLong, kTooStill, kLoading, Phase::kFailed, true},
        // Somebody set the machine's clock back.
        {"ClockWentBack", Phase::kLoading, -kTooLong, -kTooLong, kLoading, Phase::kLoading},
    }),
    [](const auto& row) { return row.param.name; });

TEST(PhaseMachineRuleTest, AForeignEntryHasNoLimit) {
  registry::ServiceRecord record;  // no limits, no times
  record.job_id = "job-1";
  record.foreign = true;
  record.phase = Phase::kStarting;
  EXPECT_FALSE(DecidePhase({.record = &record, .probe = kNoAnswer, .now = kNow}).changed);
  EXPECT_EQ(DecidePhase({.record = &record, .probe = kOurs, .now = kNow}).phase, Phase::kReady);
  // Limits without times that they could be counted from are none either.
  record.progress_timeout = record.startup_timeout = absl::Seconds(1);
  EXPECT_FALSE(DecidePhase({.record = &record, .probe = kNoAnswer, .now = kNow}).changed);
}

// Exit 0 is an idle shutdown also when the service was loading again, as only one that was READY
// idles.
TEST(PhaseMachineRuleTest, AnExitWhileLoadingAgainIsAnIdleShutdown) {
  registry::ServiceRecord record = RecordIn(Phase::kLoading);
  record.ready_at = kNow - absl::Seconds(30);
  const PhaseDecision decision =
      DecidePhase({.record = &record,
                   .platform = platforms::PlatformState{.state = State::kExited},
                   .now = kNow});
  EXPECT_EQ(decision.phase, Phase::kStopped);
  EXPECT_EQ(decision.reason, "idle_shutdown");
}

TEST(PhaseMachineRuleTest, ProgressIsTheMessageWhileLoading) {
  registry::ServiceRecord record = RecordIn(Phase::kLoading);
  record.reason = "model_loading";
  const PhaseDecision decision =
      DecidePhase({.record = &record, .probe = LoadingWith("shard 4 of 8"), .now = kNow});
  EXPECT_TRUE(decision.changed);
  EXPECT_EQ(decision.message, "shard 4 of 8");
  EXPECT_EQ(decision.progress.stage, "loading_model");
  Apply(decision, kNow, record);
  EXPECT_FALSE(
      DecidePhase({.record = &record, .probe = LoadingWith("shard 4 of 8"), .now = kNow}).changed);
}

// A liveness that fails once must not take back what is known.
TEST(PhaseMachineRuleTest, ProgressStaysWhenNoneWasTold) {
  registry::ServiceRecord record = RecordIn(Phase::kLoading);
  record.progress = kShard3;
  EXPECT_EQ(DecidePhase({.record = &record, .probe = kLoading, .now = kNow}).progress, kShard3);
  EXPECT_EQ(DecidePhase({.record = &record, .probe = kLoadFailed, .now = kNow}).progress, kShard3);
}

TEST(PhaseMachineRuleTest, FailuresSayWhyAndWhatToDo) {
  registry::ServiceRecord record = RecordIn(Phase::kLoading);
  ProbeResult failed = kLoadFailed;
  failed.message = "no such file: /models/x";
  EXPECT_EQ(
      DecidePhase({.record = &record, .probe = failed, .now = kNow}).message,
      "the container gave up: no such file: /models/x; see its last lines (tao-inference logs "
      "job-1), and start it again");
  EXPECT_THAT(DecidePhase({.record = &record,
                           .platform = platforms::PlatformState{.state = State::kFailed,
                                                                .detail = "exit status 137"},
                           .now = kNow})
                  .message,
              testing::AllOf(HasSubstr("exit status 137"), HasSubstr("tao-inference logs job-1")));
  EXPECT_THAT(DecidePhase({.record = &record, .probe = kOthers, .now = kNow}).message,
              testing::AllOf(HasSubstr("http://localhost:8081"), HasSubstr("\"job-2\"")));
  record.progress_since = kNow - kTooStill;
  EXPECT_THAT(
      DecidePhase({.record = &record, .probe = kLoading, .now = kNow}).message,
      testing::AllOf(HasSubstr("LOADING"), HasSubstr("10m"), HasSubstr("progress_timeout")));
}

TEST(ApplyTest, SetsTheTimesThatFollow) {
  registry::ServiceRecord record = RecordIn(Phase::kStarting);
  const auto step = [&](const ProbeResult& probe, absl::Time now) {
    Apply(DecidePhase({.record = &record, .probe = probe, .now = now}), now, record);
  };
  const absl::Time before = record.phase_since;
  step(kNoAnswer, kNow);
  EXPECT_EQ(record.phase_since, before);
  EXPECT_EQ(record.progress_since, before);

  step(LoadingWith("shard 1"), kNow + absl::Seconds(1));
  EXPECT_EQ(record.phase, Phase::kLoading);
  EXPECT_EQ(record.reason, "model_loading");
  EXPECT_EQ(record.phase_since, kNow + absl::Seconds(1));
  EXPECT_EQ(record.progress_since, kNow + absl::Seconds(1));

  step(LoadingWith("shard 2"), kNow + absl::Seconds(2));
  EXPECT_EQ(record.phase_since, kNow + absl::Seconds(1));
  EXPECT_EQ(record.progress_since, kNow + absl::Seconds(2));
  EXPECT_EQ(record.ready_at, absl::InfiniteFuture());

  step(kReady, kNow + absl::Seconds(3));
  EXPECT_EQ(record.ready_at, kNow + absl::Seconds(3));
  EXPECT_EQ(record.message, "");
  step(kNoAnswer, kNow + absl::Seconds(4));
  step(kReady, kNow + absl::Seconds(5));
  EXPECT_EQ(record.ready_at, kNow + absl::Seconds(3));
  EXPECT_EQ(record.phase_since, kNow + absl::Seconds(5));
  EXPECT_EQ(record.ended_at, absl::InfiniteFuture());

  step(kLoadFailed, kNow + absl::Seconds(6));
  EXPECT_EQ(record.phase, Phase::kFailed);
  EXPECT_EQ(record.ended_at, kNow + absl::Seconds(6));
}

}  // namespace
}  // namespace tao::readiness
