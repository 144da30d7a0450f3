#include "server/registry/record_codec.h"

#include <gmock/gmock.h>

#include <random>

#include "tests/unit/server/registry/full_record.h"

namespace tao::registry {
namespace {

using testing::HasSubstr;

// A field that the codec forgets comes back as its default, and the texts differ.
TEST(RecordCodecTest, EveryFieldComesBack) {
  const ServiceRecord want = FullRecord();
  const absl::StatusOr<ServiceRecord> got = ParseRecord(PrintRecord(want));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->job_id, want.job_id);
  EXPECT_EQ(got->network_arch, want.network_arch);
  EXPECT_EQ(got->platform, want.platform);
  EXPECT_EQ(got->foreign, want.foreign);
  EXPECT_EQ(got->request_id, want.request_id);
  EXPECT_EQ(got->request_fingerprint, want.request_fingerprint);
  EXPECT_EQ(got->image, want.image);
  EXPECT_EQ(got->model_path, want.model_path);
  EXPECT_EQ(got->model_path_kind, want.model_path_kind);
  EXPECT_EQ(got->served_names, want.served_names);
  EXPECT_EQ(got->gpu_mode, want.gpu_mode);
  EXPECT_EQ(got->created_at, want.created_at);
  EXPECT_EQ(got->progress_timeout, want.progress_timeout);
  EXPECT_EQ(got->startup_timeout, want.startup_timeout);
  EXPECT_EQ(got->keep_failed, want.keep_failed);
  EXPECT_EQ(got->host_port, want.host_port);
  EXPECT_EQ(got->gpu_ids, want.gpu_ids);
  EXPECT_EQ(got->host_url, want.host_url);
  EXPECT_EQ(got->docker_url, want.docker_url);
  EXPECT_EQ(got->platform_job_id, want.platform_job_id);
  EXPECT_EQ(got->slurm_node, want.slurm_node);
  EXPECT_EQ(got->instance_id, want.instance_id);
  EXPECT_EQ(got->published, want.published);
  EXPECT_EQ(got->phase, want.phase);
  EXPECT_EQ(got->reason, want.reason);
  EXPECT_EQ(got->message, want.message);
  EXPECT_EQ(got->progress, want.progress);
  EXPECT_EQ(got->phase_since, want.phase_since);
  EXPECT_EQ(got->started_at, want.started_at);
  EXPECT_EQ(got->progress_since, want.progress_since);
  EXPECT_EQ(got->ready_at, want.ready_at);
  EXPECT_EQ(got->ended_at, want.ended_at);
  EXPECT_EQ(got->last_log_lines, want.last_log_lines);
  EXPECT_EQ(got->journal.operation, want.journal.operation);
  EXPECT_EQ(got->journal.step, want.journal.step);
  EXPECT_EQ(got->journal.done, want.journal.done);
  EXPECT_EQ(got->driver_state, want.driver_state);
  EXPECT_EQ(PrintRecord(*got), PrintRecord(want));
}

TEST(RecordCodecTest, EveryFieldHasItsDefaultBack) {
  ServiceRecord record;
  record.job_id = FullRecord().job_id;
  const absl::StatusOr<ServiceRecord> got = ParseRecord(PrintRecord(record));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->started_at, absl::InfinitePast());
  EXPECT_EQ(got->ready_at, absl::InfiniteFuture());
  EXPECT_EQ(got->ended_at, absl::InfiniteFuture());
  EXPECT_EQ(got->journal.operation, Operation::kNone);
  EXPECT_EQ(PrintRecord(*got), PrintRecord(record));
}

TEST(RecordCodecTest, AbsentMembersHaveTheirDefaultAndUnknownOnesAreSkipped) {
  const absl::StatusOr<ServiceRecord> got = ParseRecord(
      R"({"schema": 1, "job_id": "a", "platform": "p", "phase": "READY", "later": [{}]})");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->phase, routing::Phase::kReady);
  EXPECT_EQ(got->ended_at, absl::InfiniteFuture());
}

TEST(RecordCodecTest, LogLinesThatAreNoUtf8AreReplaced) {
  ServiceRecord record = FullRecord();
  record.last_log_lines = {"bad \xff\xfe byte"};
  const absl::StatusOr<ServiceRecord> got = ParseRecord(PrintRecord(record));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->last_log_lines.front(), "bad \xef\xbf\xbd\xef\xbf\xbd byte");
}

TEST(RecordCodecTest, AnotherSchemaIsNotGuessed) {
  const absl::Status status = ParseRecord(R"({"schema": 2, "job_id": "a"})").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("schema 2"));
}

struct BrokenCase {
  std::string name, text, want;
};
class BrokenRecordTest : public testing::TestWithParam<BrokenCase> {};

TEST_P(BrokenRecordTest, SaysWhichMemberIsWrong) {
  const absl::Status status = ParseRecord(GetParam().text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().want));
}

std::string With(const std::string& member) {
  return R"({"schema": 1, "job_id": "a", "platform": "p", "phase": "READY", )" + member + "}";
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BrokenRecordTest,
    testing::ValuesIn<BrokenCase>({
        {"Empty", "", "not valid JSON"},
        {"CutOff", R"({"schema": 1, "job_)", "not valid JSON"},
        {"Array", "[]", "not a JSON object"},
        {"NoSchema", "{}", "\"schema\""},
        {"NoJobId", R"({"schema": 1, "platform": "p", "phase": "READY"})", "\"job_id\" is missing"},
        {"Number", With(R"("image": 7)"), "\"image\" is not text"},
        {"Phase", R"({"schema": 1, "job_id": "a", "platform": "p", "phase": "SLEEPING"})",
         "\"phase\" is \"SLEEPING\""},
        {"Port", With(R"("host_port": -1)"), "\"host_port\" is out of range"},
        {"HugePort", With(R"("host_port": 18446744073709551615)"), "\"host_port\" is out of range"},
        {"Time", With(R"("started_at": "yesterday")"), "\"started_at\" is not a time"},
        {"Duration", With(R"("startup_timeout": "long")"), "\"startup_timeout\" is not a duration"},
        {"List", With(R"("gpu_ids": ["0", 1])"), "\"gpu_ids\" is not text"},
        {"Map", With(R"("driver_state": {"pid": 1})"), "\"driver_state\" is not text"},
        {"Journal", With(R"("journal": 1)"), "journal"},
        {"Step", With(R"("journal": {"step": "jump"})"), "\"journal.step\" is \"jump\""},
        {"Progress", With(R"("progress": {"stage": null})"), "\"progress.stage\" is not text"},
    }),
    [](const auto& test) { return test.param.name; });

// Bytes of a true record, changed at random: it is read or refused, never more.
TEST(RecordCodecTest, DamagedTextIsReadOrRefused) {
  const uint32_t seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string whole = PrintRecord(FullRecord());
  int refused = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string text = whole;
    for (uint32_t n = 1 + random() % 4; n > 0; --n) {
      text[random() % text.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) text.resize(random() % text.size());
    if (!ParseRecord(text).ok()) ++refused;
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace tao::registry
