// The daemon dies by SIGKILL, and another one on the same state directory goes on.
#include <absl/time/clock.h>

#include <random>

#include "server/io/subprocess.h"
#include "tests/component/server/platforms/local_process/job_fixture.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::ElementsAre;

class LocalProcessRecoveryTest : public LocalProcessTest {
 protected:
  io::SubprocessOptions Daemon(const std::string& job_id, const std::string& script,
                               const std::string& where) const {
    return {.argv = {TAO_BINARY_DIR "/bin/local_process_launching_program", state_dir_, job_id,
                     script, where}};
  }
};

TEST_F(LocalProcessRecoveryTest, AServiceOutlivesTheDaemonAndIsAdopted) {
  const std::string job_id = base::NewUuid();
  bool launched = false;
  io::SubprocessOptions options = Daemon(job_id, "echo up; sleep 1000", "never");
  options.on_line = [&launched](bool, std::string_view line) {
    launched = line == "launched";
    return false;  // which ends the daemon
  };
  ASSERT_EQ(io::RunSubprocess(options).status().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(launched);

  const auto found = platform_->FindOurs();
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(found->front().job_id, job_id);
  EXPECT_EQ(StateOf(job_id).state, State::kRunning);
  WaitForLine(job_id, "up");
  ASSERT_TRUE(Stop(job_id).ok());
  EXPECT_THAT(LinesToTheEnd(job_id), ElementsAre("up"));
}

TEST_F(LocalProcessRecoveryTest, ItsEndIsKnownThoughNobodyWaited) {
  const std::string job_id = base::NewUuid();
  ASSERT_EQ(io::RunSubprocess(Daemon(job_id, "exit 3", "end"))->exit_code, 128 + SIGKILL);
  LinesToTheEnd(job_id);
  EXPECT_EQ(StateOf(job_id).exit_code, 3);
}

TEST_F(LocalProcessRecoveryTest, BeforeTheStepNothingIsThere) {
  const std::string job_id = base::NewUuid();
  ASSERT_EQ(io::RunSubprocess(Daemon(job_id, "sleep 1000", "begin"))->exit_code, 128 + SIGKILL);
  EXPECT_EQ(StateOf(job_id).state, State::kGone);
  EXPECT_TRUE(platform_->FindOurs()->empty());
}

// The point that no fault point reaches: anywhere between the fork and the parent's last word.
// Whether the next daemon starts the job or finds it, it runs once; and after a stop it never runs.
TEST_F(LocalProcessRecoveryTest, KilledAtAnyMomentTheJobRunsOnceOrNever) {
  const auto seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 30; ++round) {
    const std::string job_id = base::NewUuid();
    const std::string script = "echo $$ >> started; echo up; sleep 1000; : " + job_id;
    {
      auto daemon = io::Subprocess::Spawn(Daemon(job_id, script, "never"));
      ASSERT_TRUE(daemon.ok()) << daemon.status();
      const absl::Duration life = absl::Microseconds(static_cast<int>(random() % 25'000));
      ASSERT_FALSE(daemon->Wait(life).ok());
    }  // SIGKILL
    if (round % 2 == 0) {
      Session session;
      const auto job = platform_->Launch(PlanOf(job_id, script), session);
      ASSERT_TRUE(job.ok()) << job.status();
      WaitForLine(job_id, "up");
      EXPECT_EQ(StateOf(job_id).state, State::kRunning);
      EXPECT_EQ(ProcessesWith(FolderOf(job_id)), 1);  // one parent
      const std::string started = ReadText(FolderOf(job_id) + "/started");
      EXPECT_EQ(std::count(started.begin(), started.end(), '\n'), 1) << started;
    }
    ASSERT_TRUE(Stop(job_id, absl::ZeroDuration()).ok());
    EXPECT_NE(StateOf(job_id).state, State::kRunning);
  }
}

}  // namespace
}  // namespace tao::platforms
