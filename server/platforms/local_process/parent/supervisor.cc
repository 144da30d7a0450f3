#include "server/platforms/local_process/parent/supervisor.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "server/platforms/local_process/parent/process_tree.h"

namespace tao::process_parent {
namespace {

// What a command leaves running when it ends by itself gets this long to follow.
constexpr int kStragglerGraceMs = 5'000;

long long NowMs() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1'000'000;
}

std::string Failure(const std::string& what) { return what + ": " + std::strerror(errno); }

// In the child. Only returns by exec.
[[noreturn]] void BecomeCommand(char* const* argv, int output_fd, int error_fd, pid_t parent) {
  setpgid(0, 0);
  // If the parent is killed, the job ends with it: a job that nobody watches must not be.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  dup2(output_fd, 1);
  dup2(output_fd, 2);
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execv(argv[0], argv);
  const int error = errno;
  static_cast<void>(write(error_fd, &error, sizeof(error)) == sizeof(error));
  _exit(127);
}

std::vector<std::string> ValuesOf(const std::vector<std::string>& names) {
  std::vector<std::string> values;
  for (const std::string& name : names) {
    if (const char* const value = getenv(name.c_str())) values.emplace_back(value);
  }
  return values;
}

}  // namespace

Supervisor::Supervisor(const Options& options, const JobFolder& folder)
    : options_(options),
      folder_(folder),
      log_(folder.fd(), options.max_log_bytes),
      secrets_(ValuesOf(options.secret_names)) {}

Supervisor::~Supervisor() {
  if (signal_fd_ >= 0) close(signal_fd_);
  if (output_fd_ >= 0) close(output_fd_);
}

bool Supervisor::Start(std::string& error) {
  sigset_t handled;
  sigemptyset(&handled);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&handled, number);
  sigprocmask(SIG_SETMASK, &handled, nullptr);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_DFL);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal_fd_ = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
  int output[2] = {-1, -1}, errors[2] = {-1, -1};
  if (signal_fd_ < 0 || pipe2(output, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0) {
    error = Failure("cannot make a pipe");
    return false;
  }
  if (!log_.Open()) {
    error = Failure("cannot open the log in " + options_.folder);
    return false;
  }

  std::vector<char*> argv;
  for (const std::string& word : options_.command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t self = getpid();
  child_ = fork();
  if (child_ == 0) BecomeCommand(argv.data(), output[1], errors[1], self);
  if (child_ < 0) {
    error = Failure("cannot fork");
    return false;
  }
  close(output[1]);
  close(errors[1]);
  output_fd_ = output[0];
  fcntl(output_fd_, F_SETFL, O_NONBLOCK);
  int exec_error = 0;
  ssize_t got = 0;
  do {
    got = read(errors[0], &exec_error, sizeof(exec_error));
  } while (got < 0 && errno == EINTR);
  close(errors[0]);
  if (got == sizeof(exec_error)) {
    errno = exec_error;
    error = Failure("cannot execute " + options_.command[0]);
  } else if (!folder_.WriteParentFile(options_, child_)) {
    error = Failure("cannot write to " + options_.folder);
    kill(-child_, SIGKILL);
  } else {
    return true;
  }
  waitpid(child_, nullptr, 0);
  return false;
}

void Supervisor::Run() {
  while (!child_ended_ || stage_ == Stage::kRunning || !LivingChildren(child_).empty()) {
    pollfd polled[] = {{signal_fd_, POLLIN, 0}, {output_fd_, POLLIN, 0}};
    const int ready = poll(polled, 2, PollTimeoutMs());
    if (ready > 0 && polled[1].revents != 0) OnOutput();
    if (ready > 0 && polled[0].revents != 0) OnSignals();
    OnChildren();
    if (stage_ == Stage::kEnding && NowMs() >= deadline_ms_) stage_ = Stage::kKilling;
    if (stage_ == Stage::kKilling) KillAll();
  }
  if (output_fd_ >= 0) OnOutput();
  log_.Append(secrets_.TakeRest());
  int status = 0;
  while (waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
  // A failure cannot be told to anybody; the driver then says that no exit status was left.
  static_cast<void>(folder_.WriteExitFile(status, stopped_));
}

void Supervisor::OnSignals() {
  signalfd_siginfo info = {};
  while (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo == SIGCHLD) continue;  // OnChildren looks every time
    stopped_ = true;
    const bool has_value = info.ssi_code == SI_QUEUE && info.ssi_int >= 0;
    BeginEnding(has_value ? info.ssi_int : options_.grace_ms);
  }
}

void Supervisor::OnOutput() {
  char buffer[64 << 10];
  // A pipe's worth at a time, so that a chatty command cannot keep us from its signals.
  for (int i = 0; i < 2 && output_fd_ >= 0; ++i) {
    const ssize_t got = read(output_fd_, buffer, sizeof(buffer));
    if (got > 0) {
      log_.Append(secrets_.Add({buffer, static_cast<size_t>(got)}));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      close(output_fd_);
      output_fd_ = -1;
    } else {
      return;
    }
  }
}

void Supervisor::OnChildren() {
  siginfo_t ended = {};
  while (!child_ended_ && waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid != 0) {
    if (ended.si_pid == child_) {
      child_ended_ = true;
    } else {
      waitpid(ended.si_pid, nullptr, 0);  // a stray that became ours
    }
    ended = {};
  }
  if (child_ended_ && stage_ == Stage::kRunning) BeginEnding(kStragglerGraceMs);
}

void Supervisor::BeginEnding(int grace_ms) {
  const long long deadline = NowMs() + grace_ms;
  if (stage_ == Stage::kRunning) {
    stage_ = Stage::kEnding;
    deadline_ms_ = deadline;
    kill(-child_, SIGTERM);
    // Who left the group, and lost its parent.
    for (const pid_t stray : LivingChildren(child_)) kill(stray, SIGTERM);
  } else if (stage_ == Stage::kEnding) {
    deadline_ms_ = std::min(deadline_ms_, deadline);  // told again: the shorter patience counts
  }
}

void Supervisor::KillAll() {
  kill(-child_, SIGKILL);
  // Their children become ours as they die, and are met in the next round, which SIGCHLD brings.
  for (const pid_t stray : LivingChildren(child_)) kill(stray, SIGKILL);
}

int Supervisor::PollTimeoutMs() const {
  switch (stage_) {
    case Stage::kRunning:
      return -1;
    case Stage::kEnding:
      return static_cast<int>(std::clamp(deadline_ms_ - NowMs(), 0LL, 3'600'000LL));
    case Stage::kKilling:
      return 100;  // a process that forked while it was being killed: look again
  }
  return -1;
}

}  // namespace tao::process_parent
