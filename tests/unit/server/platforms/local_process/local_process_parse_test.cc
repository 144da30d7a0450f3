#include "server/platforms/local_process/local_process_parse.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kParent[] =
    R"({"pid":41,"start_time":777,"boot_id":"b-1","daemon_id":"d-1","job_id":"j-1","port":8081})";

TEST(ParseParentRecordTest, ReadsWhatTheParentWrites) {
  const auto starting = ParseParentRecord(kParent);
  ASSERT_TRUE(starting.ok()) << starting.status();
  EXPECT_EQ(starting->pid, 41);
  EXPECT_EQ(starting->start_time, 777U);
  EXPECT_EQ(starting->boot_id, "b-1");
  EXPECT_EQ(starting->daemon_id, "d-1");
  EXPECT_EQ(starting->port, 8081);
  EXPECT_FALSE(starting->child_pid.has_value());
  const auto running =
      ParseParentRecord(R"({"pid":41,"start_time":777,"port":8081,"child_pid":42})");
  EXPECT_EQ(running->child_pid, 42);
}

TEST(ParseParentRecordTest, RefusesWhatItCannotTrust) {
  for (const char* text :
       {"", "{", "[]", "{}", R"({"pid":0,"start_time":1,"port":1})",
        R"({"pid":-1,"start_time":1,"port":1})", R"({"pid":"41","start_time":1,"port":1})",
        R"({"pid":41,"start_time":0,"port":1})", R"({"pid":41,"start_time":1,"port":65536})",
        R"({"pid":99999999999,"start_time":1,"port":1})"}) {
    EXPECT_FALSE(ParseParentRecord(text).ok()) << text;
  }
}

TEST(ParseExitRecordTest, RefusesWhatSaysNothing) {
  for (const char* text : {"", "{}", R"({"exit_code":256})", R"({"signal":0})",
                           R"({"exit_code":"0"})", R"({"stopped":true})"}) {
    EXPECT_FALSE(ParseExitRecord(text).ok()) << text;
  }
  EXPECT_TRUE(ParseExitRecord(NotStartedExitRecord())->not_started);
  EXPECT_EQ(ParseExitRecord(KilledExitRecord())->signal, SIGKILL);
}

struct StateCase {
  std::string name;
  bool locked = false;
  std::string parent, exit;  // JSON; empty: no such file
  State want = State::kGone;
  std::optional<int> want_code;
  std::string want_detail;
};

class ToPlatformStateTest : public testing::TestWithParam<StateCase> {};

TEST_P(ToPlatformStateTest, SaysHowItStandsWithTheJob) {
  const StateCase& given = GetParam();
  JobFiles files = {.locked = given.locked};
  if (!given.parent.empty()) files.parent = *ParseParentRecord(given.parent);
  if (!given.exit.empty()) files.exit = *ParseExitRecord(given.exit);
  const PlatformState state = ToPlatformState(files);
  EXPECT_EQ(state.state, given.want);
  EXPECT_EQ(state.exit_code, given.want_code);
  EXPECT_THAT(state.detail, HasSubstr(given.want_detail));
}

const std::string kRunning = R"({"pid":41,"start_time":777,"port":8081,"child_pid":42})";

INSTANTIATE_TEST_SUITE_P(
    Rules, ToPlatformStateTest,
    testing::ValuesIn<StateCase>({
        {"NothingAtAll", false, "", "", State::kGone, {}, ""},
        {"LockedWithoutARecord", true, "", "", State::kPending, {}, "being started"},
        {"CommandNotYetStarted", true, kParent, "", State::kPending, {}, "being started"},
        {"Runs", true, kRunning, "", State::kRunning, {}, ""},
        {"ParentWasKilled", false, kRunning, "", State::kFailed, {}, "without an exit status"},
        {"Success", false, kRunning, R"({"exit_code":0})", State::kExited, 0, "exit status 0"},
        {"EndedAndParentNotYet", true, kRunning, R"({"exit_code":0})", State::kExited, 0, ""},
        {"Failure", false, kRunning, R"({"exit_code":3})", State::kFailed, 3, "exit status 3"},
        {"NoProgram", false, kRunning, R"({"exit_code":127})", State::kFailed, 127,
         "--local-process-path"},
        {"NotExecutable", false, kRunning, R"({"exit_code":126})", State::kFailed, 126,
         "could not be executed"},
        {"Crash", false, kRunning, R"({"signal":11})", State::kFailed, 139,
         "signal 11 (Segmentation fault)"},
        {"CrashBelowAShell", false, kRunning, R"({"exit_code":139})", State::kFailed, 139,
         "signal 11 (Segmentation fault)"},
        {"Killed", false, kRunning, R"({"signal":9})", State::kFailed, 137, "lack of memory"},
        {"StoppedHard", false, kRunning, R"({"signal":9,"stopped":true})", State::kFailed, 137,
         "killed by signal 9 (Killed)"},
        {"StoppedBeforeItStarted",
         false,
         "",
         NotStartedExitRecord(),
         State::kGone,
         {},
         "never started"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(ParseProcessStatTest, NamesMayHoldAnything) {
  std::string text = "41 (a) b (c) S 7 41 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 9\n";
  const auto stat = ParseProcessStat(text);
  ASSERT_TRUE(stat.ok()) << stat.status();
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->parent, 7);
  EXPECT_EQ(stat->session, 40);
  EXPECT_EQ(stat->start_time, 12345U);
  for (const char* bad : {"", "41", "41 (a)", "41 (a) S 7"}) {
    EXPECT_FALSE(ParseProcessStat(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace tao::platforms
