#include "server/io/subprocess.h"

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "server/base/strings.h"
#include "server/io/file.h"
#include "server/io/pidfd.h"

namespace tao::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

SubprocessOptions Bash(const std::string& script) { return {.argv = {"bash", "-c", script}}; }

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

// Waits for the end of a process that is not our child; false after 5 s.
bool Ends(pid_t pid) {
  const UniqueFd pidfd = OpenPidfd(pid);
  if (!pidfd.valid()) return errno == ESRCH;
  pollfd polled = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return poll(&polled, 1, 5000) == 1;
}

// Keeps the program's first line in `line`.
SubprocessOptions WithFirstLine(std::string& line, SubprocessOptions options) {
  options.on_line = [&line](bool, std::string_view text) {
    if (line.empty()) line = text;
    return true;
  };
  return options;
}

bool WaitForLine(Subprocess& child, const std::string& line) {
  for (int i = 0; i < 500 && line.empty(); ++i) {
    if (child.Wait(absl::Milliseconds(10)).ok()) break;
  }
  return !line.empty();
}

// Each test also proves that no child is left, ended or not.
class SubprocessTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "tao-subprocess-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override {
    std::filesystem::remove_all(folder_);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }
  std::string Executable(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << content;
    chmod(path.c_str(), 0755);
    return path;
  }
  std::string folder_;
};

TEST_F(SubprocessTest, GivesOutputAndExitCode) {
  const auto result = RunSubprocess(Bash("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->out, "out\n");
  EXPECT_EQ(result->err, "err\n");
}

TEST_F(SubprocessTest, ASignalIsExitCode128AndItsNumber) {
  EXPECT_EQ(RunSubprocess(Bash("kill -SEGV $$"))->exit_code, 128 + SIGSEGV);
}

TEST_F(SubprocessTest, ArgumentsArriveAsTheyAre) {
  const auto result = RunSubprocess({.argv = {"printf", "%s|", "a b", "", "$HOME", "\"*'\n"}});
  EXPECT_EQ(result->out, "a b||$HOME|\"*'\n|");
}

TEST_F(SubprocessTest, EnvironmentIsExactlyWhatIsAskedFor) {
  const auto result = RunSubprocess({.argv = {"/usr/bin/env"},
                                     .inherit_env = false,
                                     .env = {{"A", "1"}, {"B", "x=y"}},
                                     .secret_env = {{"TOKEN", base::Secret("s3cret-value")}}});
  EXPECT_EQ(result->out, "A=1\nB=x=y\nTOKEN=s3cret-value\n");
}

TEST_F(SubprocessTest, InheritedVariablesCanBeTakenAwayAndReplaced) {
  ASSERT_EQ(setenv("TAO_TEST_KEPT", "kept", 1), 0);
  ASSERT_EQ(setenv("TAO_TEST_GONE", "gone", 1), 0);
  ASSERT_EQ(setenv("TAO_TEST_NEW", "old", 1), 0);
  auto options = Bash("echo $TAO_TEST_KEPT,$TAO_TEST_GONE,$TAO_TEST_NEW");
  options.unset_env = {"TAO_TEST_GONE"};
  options.env = {{"TAO_TEST_NEW", "new"}};
  EXPECT_EQ(RunSubprocess(options)->out, "kept,,new\n");
}

TEST_F(SubprocessTest, TheUmaskIsTheProgramsAlone) {
  const mode_t before = ::umask(022);
  auto options = Bash("umask");
  options.umask = 077;
  const auto private_one = RunSubprocess(options), other = RunSubprocess(Bash("umask"));
  EXPECT_EQ(::umask(before), 022U);
  ASSERT_TRUE(private_one.ok() && other.ok());
  EXPECT_EQ(private_one->out, "0077\n");
  EXPECT_EQ(other->out, "0022\n");
}

TEST_F(SubprocessTest, TheProgramsOwnPathDecides) {
  Executable("bash", "#!/bin/sh\necho shim $1\n");
  auto options = Bash("ignored");
  options.env = {{"PATH", folder_}};
  EXPECT_EQ(RunSubprocess(options)->out, "shim -c\n");
}

TEST_F(SubprocessTest, WhatCannotBeExecutedSaysWhy) {
  const auto failure = [](std::vector<std::string> argv) {
    return RunSubprocess({.argv = std::move(argv)}).status();
  };
  const absl::Status unknown = failure({"no-such-program"});
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(unknown), HasSubstr("no program \"no-such-program\" in PATH"));
  EXPECT_EQ(failure({folder_ + "/absent"}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(failure({folder_}).code(), absl::StatusCode::kFailedPrecondition);

  const absl::Status interpreter = failure({Executable("a", "#!/no/such/interpreter\n")});
  EXPECT_EQ(interpreter.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(interpreter), HasSubstr("interpreter"));
  const absl::Status text = failure({Executable("b", "echo\n")});
  EXPECT_EQ(text.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(text), HasSubstr("#! line"));

  EXPECT_EQ(failure({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(failure({"echo", std::string("a\0b", 3)}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(failure({"echo", std::string(4 << 20, 'x')}).code(),
            absl::StatusCode::kInvalidArgument);
  auto options = Bash("true");
  options.env = {{"A=B", "c"}};
  EXPECT_EQ(RunSubprocess(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SubprocessTest, StdinIsTheTextAndThenTheEnd) {
  auto options = Bash("cat");
  options.stdin_text = "secret\n";
  EXPECT_EQ(RunSubprocess(options)->out, "secret\n");
  options.stdin_text = "";
  EXPECT_EQ(RunSubprocess(options)->out, "");
}

TEST_F(SubprocessTest, AProgramMayLeaveItsStdinUnread) {
  auto options = Bash("exec <&-; echo done");
  options.stdin_text = std::string(8 << 20, 'x');
  EXPECT_EQ(RunSubprocess(options)->out, "done\n");
}

TEST_F(SubprocessTest, MuchOutputOnBothStreamsNeverDeadlocks) {
  auto options = Bash("head -c 8000000 /dev/zero >&2; head -c 8000000 /dev/zero; cat >&2");
  options.stdin_text = std::string(1 << 20, 'x');
  options.max_output_bytes = 16 << 20;
  const auto result = RunSubprocess(options);
  EXPECT_EQ(result->out.size(), 8000000U);
  EXPECT_EQ(result->err.size(), 8000000U + (1 << 20));
}

TEST_F(SubprocessTest, OfTooMuchOutputTheHeadIsKept) {
  auto options = Bash("echo 12345; head -c 1000000 /dev/zero");
  options.max_output_bytes = 4;
  EXPECT_EQ(RunSubprocess(options)->out, "1234");
}

TEST_F(SubprocessTest, LinesComeAsTheyAreWritten) {
  std::vector<std::string> lines;
  auto options = Bash("printf 'one\\n\\nthr'; echo ee; echo four >&2; sleep 0; printf five");
  options.on_line = [&lines](bool is_stderr, std::string_view line) {
    lines.push_back((is_stderr ? "E:" : "O:") + std::string(line));
    return true;
  };
  const auto result = RunSubprocess(options);
  EXPECT_EQ(result->out, "one\n\nthree\nfive");
  EXPECT_THAT(lines, testing::UnorderedElementsAre("O:one", "O:", "O:three", "E:four", "O:five"));
}

TEST_F(SubprocessTest, AReaderThatHasEnoughEndsTheProgram) {
  int lines = 0;
  auto options = Bash("while true; do echo line; done");
  options.on_line = [&lines](bool, std::string_view) { return ++lines < 3; };
  EXPECT_EQ(RunSubprocess(options).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(lines, 3);
}

TEST_F(SubprocessTest, TheDeadlineEndsTheWholeGroup) {
  std::string grandchild;
  auto options = Bash("sleep 1000 & echo $!; echo token is $TOKEN >&2; wait");
  options.secret_env = {{"TOKEN", base::Secret("s3cret-value")}};
  options.timeout = absl::Seconds(1);
  options.on_line = [&grandchild](bool is_stderr, std::string_view line) {
    if (!is_stderr) grandchild = line;
    return true;
  };
  const absl::Status status = RunSubprocess(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Message(status), HasSubstr("did not end within 1s"));
  EXPECT_THAT(Message(status), HasSubstr("Its last words: \"token is ***\""));
  ASSERT_FALSE(grandchild.empty());
  EXPECT_TRUE(Ends(std::stoi(grandchild)));
}

TEST_F(SubprocessTest, CancelEndsItFromAnotherThread) {
  base::CancelToken cancel;
  auto options = Bash("echo up; sleep 1000");
  options.timeout = absl::InfiniteDuration();
  options.cancel = &cancel;
  std::thread canceller;
  options.on_line = [&](bool, std::string_view) {
    canceller = std::thread([&cancel] { cancel.Cancel(); });
    return true;
  };
  const absl::Status status = RunSubprocess(options).status();
  canceller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  // A token that fired before the start ends the wait at once, too.
  EXPECT_EQ(RunSubprocess(options).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(SubprocessTest, SigtermIsGivenItsTime) {
  std::string line;
  auto child = Subprocess::Spawn(WithFirstLine(
      line, Bash("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done")));
  ASSERT_TRUE(child.ok());
  ASSERT_TRUE(WaitForLine(*child, line));
  const SubprocessResult ended = child->Terminate(absl::Seconds(5));
  EXPECT_EQ(ended.exit_code, 7);
  EXPECT_EQ(ended.out, "up\nbye\n");
  EXPECT_EQ(child->Terminate().exit_code, 7);  // again: nothing happens
  EXPECT_EQ(child->Wait(absl::ZeroDuration())->exit_code, 7);
}

TEST_F(SubprocessTest, SigkillComesWhenSigtermIsIgnored) {
  std::string line;
  auto child = Subprocess::Spawn(
      WithFirstLine(line, Bash("trap '' TERM; echo up; while :; do sleep 0.01; done")));
  ASSERT_TRUE(child.ok());
  ASSERT_TRUE(WaitForLine(*child, line));
  EXPECT_EQ(child->Terminate(absl::Milliseconds(50)).exit_code, 128 + SIGKILL);
}

TEST_F(SubprocessTest, TheDestructorKillsAndReaps) {
  pid_t pid = 0;
  {
    auto child = Subprocess::Spawn({.argv = {"sleep", "1000"}});
    ASSERT_TRUE(child.ok());
    pid = child->pid();
    Subprocess moved = *std::move(child);
    EXPECT_EQ(moved.pid(), pid);
    EXPECT_EQ(kill(pid, 0), 0);
  }
  EXPECT_EQ(kill(pid, 0), -1);  // reaped, not only dead
}

TEST_F(SubprocessTest, WhatItLeavesInItsGroupEndsWithIt) {
  const auto result = RunSubprocess(Bash("sleep 1000 & echo $!"));
  ASSERT_TRUE(result.ok()) << result.status();  // though the sleep still holds the pipes
  EXPECT_TRUE(Ends(std::stoi(result->out)));
}

TEST_F(SubprocessTest, AProcessThatLeftTheGroupDoesNotHoldUsUp) {
  ASSERT_EQ(mkfifo((folder_ + "/up").c_str(), 0600), 0);
  auto options = Bash("setsid sh -c 'echo $$; echo up > up; exec yes' & read < up");
  options.argv[2] = "cd " + folder_ + "; " + options.argv[2];
  const auto result = RunSubprocess(options);
  ASSERT_TRUE(result.ok()) << result.status();
  const pid_t left = std::stoi(result->out);
  EXPECT_TRUE(Ends(left));  // of SIGPIPE: nobody holds its pipe any more
}

TEST_F(SubprocessTest, TheProgramStartsClean) {
  ASSERT_NE(signal(SIGPIPE, SIG_IGN), SIG_ERR);
  const int leaky = dup(1);  // not close-on-exec, as a library might do it
  const auto descriptors = RunSubprocess({.argv = {"ls", "/proc/self/fd"}});
  close(leaky);
  EXPECT_EQ(descriptors->out, "0\n1\n2\n3\n");  // 3 is ls reading the folder
  const auto signals = RunSubprocess({.argv = {"grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"}});
  EXPECT_EQ(signals->out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  const auto ids = RunSubprocess(Bash("echo $$ $(ps -o pgid= -p $$)"));
  pid_t pid = 0, group = -1;
  ASSERT_EQ(std::sscanf(ids->out.c_str(), "%d %d", &pid, &group), 2) << ids->out;
  EXPECT_EQ(pid, group);
}

TEST_F(SubprocessTest, NoDescriptorIsLeakedWhateverHappens) {
  ASSERT_TRUE(RunSubprocess(Bash("true")).ok());  // what is opened once (the spawner) is open now
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 20; ++i) {
    auto options = Bash("echo x");
    options.stdin_text = "y";
    ASSERT_TRUE(RunSubprocess(options).ok());
    ASSERT_FALSE(RunSubprocess({.argv = {folder_}}).ok());
    ASSERT_FALSE(RunSubprocess({.argv = {"no-such-program"}}).ok());
    auto slow = Bash("sleep 1000");
    slow.timeout = absl::Milliseconds(1);
    ASSERT_FALSE(RunSubprocess(slow).ok());
    ASSERT_TRUE(Subprocess::Spawn(slow).ok());
  }
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(SubprocessTest, ManyThreadsStartProgramsAtOnce) {
  std::vector<std::thread> threads;
  std::vector<std::string> outputs(16);
  for (size_t i = 0; i < outputs.size(); ++i) {
    threads.emplace_back([&outputs, i] {
      for (int round = 0; round < 5; ++round) {
        const auto result = RunSubprocess({.argv = {"echo", "-n", std::to_string(i)}});
        outputs[i] += result.ok() ? result->out : "failed";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string once = std::to_string(i);
    EXPECT_EQ(outputs[i], once + once + once + once + once);
  }
}

TEST_F(SubprocessTest, ProgramsEndWithTheDaemonAndNotWithTheThreadThatStartedThem) {
  std::string line;
  auto daemon =
      Subprocess::Spawn(WithFirstLine(line, {.argv = {TAO_BINARY_DIR "/bin/io_spawning_program"}}));
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  ASSERT_TRUE(WaitForLine(*daemon, line));
  const pid_t helper = std::stoi(line);
  EXPECT_EQ(kill(helper, 0), 0);  // its thread has ended by now
  ASSERT_EQ(kill(daemon->pid(), SIGKILL), 0);
  EXPECT_TRUE(Ends(helper));
}

}  // namespace
}  // namespace tao::io
