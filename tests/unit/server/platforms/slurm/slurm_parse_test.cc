#include "server/platforms/slurm/slurm_parse.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::HasSubstr;

// Texts of Slurm 22.05.8, as they came over ssh.
constexpr char kUnknownJob[] =
    "@@squeue\nslurm_load_jobs error: Invalid job id specified\n@@rc 1\n";
constexpr char kNoDatabase[] = "@@sacct\nSlurm accounting storage is disabled\n\n@@rc 1\n";

std::string Queue(const std::string& row, int exit_code = 0) {
  return "@@squeue\n" + row + "\n@@rc " + std::to_string(exit_code) + "\n";
}

std::string Accounting(const std::string& rows, int exit_code = 0) {
  return "@@sacct\n" + rows + "\n@@rc " + std::to_string(exit_code) + "\n";
}

auto Status(const std::string& output) { return ParseStatus(ParseSections(output)); }

TEST(ParseSectionsTest, TextBetweenNamesBelongsToThem) {
  const SlurmSections sections =
      ParseSections("a banner\n@@one\nx\ny\n@@rc 0\nnoise\n@@two\n\n@@rc 7\n@@cut off\nhalf");
  ASSERT_EQ(sections.size(), 3U);
  EXPECT_EQ(sections.at("one").text, "x\ny\n");
  EXPECT_EQ(sections.at("two").exit_code, 7);
}

struct SubmitCase {
  const char* output;
  const char* want;  // "id", "id;cluster" or ""
};

TEST(ParseSubmitTest, TheLastLineThatIsAnIdCounts) {
  for (const SubmitCase& row : std::vector<SubmitCase>{
           {"123\n", "123"},
           {"123;east\n", "123;east"},
           {"Welcome to login2\n2026\n123\n", "123"},
           {"  123  \n", "123"},
           {"", ""},
           {"Submitted batch job 123\n", ""},
           {"12a\n", ""},
           {"123;east coast\n", ""},
       }) {
    const auto job = ParseSubmit(row.output);
    std::string got;
    if (job.has_value()) got = job->id + (job->cluster.empty() ? "" : ";" + job->cluster);
    EXPECT_EQ(got, row.want) << row.output;
  }
}

TEST(ParseStatusTest, AWaitingJobHasAReason) {
  const auto facts = Status(Queue("PENDING|n/a||Resources|2026-11-23T15:00:00"));
  ASSERT_TRUE(facts.ok()) << facts.status();
  ASSERT_TRUE(facts->has_value());
  EXPECT_EQ((*facts)->state, "PENDING");
  EXPECT_EQ((*facts)->batch_host, "");
  EXPECT_EQ((*facts)->reason, "Resources");
  EXPECT_EQ((*facts)->expected_start, "2026-11-23T15:00:00");
}

TEST(ParseStatusTest, ARunningJobHasAHost) {
  const auto facts = Status(Queue("RUNNING|node7|node7|None|2026-11-23T14:00:00"));
  ASSERT_TRUE(facts.ok() && facts->has_value()) << facts.status();
  EXPECT_EQ((*facts)->batch_host, "node7");
}

TEST(ParseStatusTest, AnEndedJobHasItsExitCodeFromTheController) {
  const auto facts = Status(Queue("FAILED|node7|node7|NonZeroExitCode|N/A") +
                            "@@detail\nExitCode=98:0\n\n@@rc 0\n" + kNoDatabase);
  ASSERT_TRUE(facts.ok() && facts->has_value()) << facts.status();
  EXPECT_EQ((*facts)->exit_code, 98);
}

TEST(ParseStatusTest, WhatTheControllerForgotTheAccountingMayKnow) {
  const auto facts =
      Status(std::string(kUnknownJob) + Accounting("12|CANCELLED by 1001|0:15|node7|None"));
  ASSERT_TRUE(facts.ok() && facts->has_value()) << facts.status();
  EXPECT_EQ((*facts)->state, "CANCELLED");
  EXPECT_EQ((*facts)->signal, 15);
}

TEST(ParseStatusTest, GoneIsOnlyWhatBothSay) {
  for (const std::string& accounting :
       {std::string(kNoDatabase), Accounting(""), Accounting("sh: 1: sacct: not found", 127)}) {
    const auto facts = Status(kUnknownJob + accounting);
    ASSERT_TRUE(facts.ok()) << facts.status();
    EXPECT_FALSE(facts->has_value());
  }
}

// Never "gone", for then a service that runs would be taken for stopped.
TEST(ParseStatusTest, WhatCannotBeToldIsUnavailable) {
  for (const std::string& output : {
           std::string(),
           std::string("@@squeue\n"),
           Queue("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", 1) +
               kNoDatabase,
           Queue("slurm_load_jobs error: Socket timed out on send/recv operation", 1) + kNoDatabase,
           Queue("squeue: error: If munged is up, restart with --num-threads=10\n"
                 "slurm_load_jobs error: Protocol authentication error",
                 1) +
               kNoDatabase,
           Queue("") + kNoDatabase,                        // finished, without --states=all
           Queue("") + Accounting(""),                     // the accounting lags
           Queue("MOONING|n|n|None|N/A"),                  // a word of a later version
           kUnknownJob + Accounting("12|RUNNING|0:0|n|"),  // the accounting lags
           kUnknownJob + Accounting("sacct: error: slurm_persist_conn_open: failed", 1),
           std::string(kUnknownJob),
       }) {
    EXPECT_EQ(Status(output).status().code(), absl::StatusCode::kUnavailable) << output;
  }
}

TEST(ParseStatusTest, AFederationsHeadlineIsNoRow) {
  const auto facts = Status(Queue("CLUSTER: east\nRUNNING|n1|n1|None|N/A"));
  ASSERT_TRUE(facts.ok() && facts->has_value()) << facts.status();
  EXPECT_EQ((*facts)->batch_host, "n1");
}

struct StateCase {
  const char* word;
  State want;
};

TEST(StateNamedTest, EveryWordOfSlurmHasItsPlace) {
  for (const StateCase& row : std::vector<StateCase>{
           {"PENDING", State::kPending},      {"CONFIGURING", State::kPending},
           {"REQUEUED", State::kPending},     {"REQUEUE_FED", State::kPending},
           {"REQUEUE_HOLD", State::kPending}, {"RESV_DEL_HOLD", State::kPending},
           {"SPECIAL_EXIT", State::kPending}, {"POWER_UP_NODE", State::kPending},
           {"EXPEDITING", State::kPending},   {"RUNNING", State::kRunning},
           {"COMPLETING", State::kRunning},   {"STAGE_OUT", State::kRunning},
           {"SIGNALING", State::kRunning},    {"RESIZING", State::kRunning},
           {"SUSPENDED", State::kRunning},    {"STOPPED", State::kRunning},
           {"COMPLETED", State::kExited},     {"FAILED", State::kFailed},
           {"TIMEOUT", State::kFailed},       {"OUT_OF_MEMORY", State::kFailed},
           {"NODE_FAIL", State::kFailed},     {"BOOT_FAIL", State::kFailed},
           {"DEADLINE", State::kFailed},      {"LAUNCH_FAILED", State::kFailed},
           {"RECONFIG_FAIL", State::kFailed}, {"CANCELLED", State::kFailed},
           {"PREEMPTED", State::kFailed},     {"REVOKED", State::kFailed},
       }) {
    EXPECT_EQ(StateNamed(row.word), row.want) << row.word;
  }
  EXPECT_EQ(StateNamed("MOONING"), std::nullopt);
  EXPECT_EQ(StateNamed(""), std::nullopt);
}

TEST(ToPlatformStateTest, SaysHowItEnded) {
  SlurmJobFacts facts;
  facts.state = "FAILED";
  facts.reason = "NonZeroExitCode";
  facts.exit_code = 3;
  EXPECT_EQ(ToPlatformState(facts).detail,
            "Slurm says FAILED, exit status 3, reason NonZeroExitCode");
  EXPECT_EQ(ToPlatformState(facts).exit_code, 3);
  facts = {.state = "TIMEOUT", .batch_host = "", .reason = "TimeLimit", .expected_start = ""};
  EXPECT_THAT(ToPlatformState(facts).detail, HasSubstr("--time"));
  facts.state = "PREEMPTED";
  EXPECT_THAT(ToPlatformState(facts).detail, HasSubstr("the scheduler took its nodes"));
  facts = {.state = "FAILED",
           .batch_host = "",
           .reason = "",
           .expected_start = "",
           .exit_code = 0,
           .signal = 9};
  EXPECT_THAT(ToPlatformState(facts).detail, HasSubstr("signal 9 (killed)"));
}

struct ReasonCase {
  const char* reason;
  const char* advice;
};

TEST(DescribePendingTest, AReasonComesWithWhatToDo) {
  for (const ReasonCase& row : std::vector<ReasonCase>{
           {"Resources", "waiting for nodes"},
           {"Priority", "other jobs come first"},
           {"QOSMaxGRESPerUser", "a quota is used up"},
           {"AssocGrpGRESMinutes", "a quota is used up"},
           {"PartitionTimeLimit", "never start"},
           {"PartitionConfig", "never start"},
           {"PartitionNodeLimit", "never start"},
           {"ReqNodeNotAvail, UnavailableNodes:n1", "maintenance"},
           {"JobHeldUser", "does not start by itself"},
           {"launch failed requeued held", "does not start by itself"},
           {"BeginTime", "later"},
       }) {
    SlurmJobFacts facts = {
        .state = "PENDING", .batch_host = "", .reason = row.reason, .expected_start = ""};
    const std::string text = DescribePending(facts, "3 of 17 in the queue");
    EXPECT_THAT(text, HasSubstr(row.advice)) << row.reason;
    EXPECT_THAT(text, HasSubstr(row.reason));
    EXPECT_THAT(text, HasSubstr("3 of 17 in the queue"));
  }
}

TEST(QueuePositionTest, OnlyWhereTheJobIsInTheQueueThatIsSeen) {
  const auto position = [](const std::string& text) {
    return QueuePosition(ParseSections("@@queue\n" + text + "\n@@rc 0\n"));
  };
  EXPECT_EQ(position("3 17"), "3 of 17 in the queue");
  EXPECT_EQ(position("0 17"), "");  // others' jobs are hidden, and so on
  EXPECT_EQ(position("squeue: error"), "");
  EXPECT_EQ(QueuePosition({}), "");
}

TEST(ParseMarksTest, TheScriptTellsItsPort) {
  EXPECT_EQ(ParseMarks("").port, 0);
  const std::string free = "tao-inference: port 20001 of node n1 is free\n";
  EXPECT_EQ(ParseMarks(free).port, 20001);
  EXPECT_FALSE(ParseMarks(free).container);
  const SlurmMarks serving = ParseMarks(free + "tao-inference: port 20001 is the service's\n");
  EXPECT_TRUE(serving.container);
  EXPECT_FALSE(serving.taken);
  EXPECT_TRUE(ParseMarks("tao-inference: port 8080 of node n1 is taken by another program").taken);
}

TEST(ParseNamedTest, TheCommentIsAnybodysText) {
  const auto jobs = ParseNamed(
      "12|tao-a|RUNNING|tao-daemon=d|x\nCLUSTER: east\n13_[1-4]|b|PENDING|(null)\n"
      "14|c|CANCELLED by 0|(null)\n");
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(jobs[0].comment, "tao-daemon=d|x");
  EXPECT_EQ(jobs[1].job.id, "14");
  EXPECT_EQ(jobs[1].state, "CANCELLED");
  EXPECT_EQ(jobs[1].comment, "");
}

struct LimitCase {
  const char* text;
  absl::Duration want;
};

TEST(ParsePartitionsTest, ALimitIsMinutesHoursOrDays) {
  for (const LimitCase& row : std::vector<LimitCase>{
           {"30:00", absl::Minutes(30)},
           {"4:00:00", absl::Hours(4)},
           {"1-12:00:00", absl::Hours(36)},
           {"infinite", absl::InfiniteDuration()},
           {"n/a", absl::InfiniteDuration()},
           {"", absl::InfiniteDuration()},
       }) {
    const auto rows = ParsePartitions(std::string("p|up|") + row.text + "|(null)\n");
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].time_limit, row.want) << row.text;
  }
}

TEST(ParsePartitionsTest, GpusAreCountedByType) {
  const auto rows = ParsePartitions(
      "gpu*|up|4:00:00|gpu:a100:8(S:0-1),shard:4\ncpu|down|infinite|(null)\n"
      "mix|up|infinite|gpu:2,gpu:h100:4(S:0,1)\n");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].name, "gpu");
  EXPECT_EQ(rows[0].gpus.at("a100"), 8);
  EXPECT_EQ(rows[1].available, "down");
  EXPECT_TRUE(rows[1].gpus.empty());
  EXPECT_EQ(rows[2].gpus.at(""), 2);
  EXPECT_EQ(rows[2].gpus.at("h100"), 4);
}

}  // namespace
}  // namespace tao::platforms
