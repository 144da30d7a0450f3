#include "server/io/spawn.h"

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <deque>
#include <thread>

#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/io/errno_status.h"
#include "server/io/pidfd.h"

namespace tao::io {
namespace {

// What the child needs, made before the fork: between fork and exec nothing may allocate.
struct ChildSetup {
  const char* path = nullptr;
  char* const* argv = nullptr;
  char* const* env = nullptr;
  int fds[3] = {-1, -1, -1};
  int umask = -1;     // -1: the parent's
  int error_fd = -1;  // close-on-exec: the parent reads the errno of a failure, or the end of file
  pid_t parent = -1;
};

[[noreturn]] void ReportAndExit(int error_fd, int error) {
  static_cast<void>(write(error_fd, &error, sizeof(error)) == sizeof(error));
  _exit(127);
}

// Runs in the child, in the parent's memory (vfork): async-signal-safe calls only, and no return.
[[noreturn]] void BecomeProgram(const ChildSetup& setup) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != setup.parent) _exit(127);  // the parent ended before prctl: no signal will come
  for (int fd = 0; fd < 3; ++fd) {
    if (dup2(setup.fds[fd], fd) < 0) ReportAndExit(setup.error_fd, errno);
  }
  if (setup.umask >= 0) umask(static_cast<mode_t>(setup.umask));  // vfork does not share it
  // Libraries may have opened descriptors that are not close-on-exec. Fails before Linux 5.11 only.
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  // exec keeps ignored signals ignored (SIGPIPE is, in the daemon), and the mask. The parent's
  // handlers are not touched: the child has a table of its own.
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(setup.path, setup.argv, setup.env);
  ReportAndExit(setup.error_fd, errno);
}

// How it went, as numbers: ThreadSanitizer cannot follow an absl::Status from one thread to
// another.
struct Outcome {
  pid_t pid = -1;
  int pidfd = -1;
  int exec_error = 0;  // errno of the child's half
  int error = 0;       // errno of ours
};

// A pipe whose ends are 3 or above: the child overwrites 0, 1 and 2, and a process can have been
// started without them.
struct Pipe {
  UniqueFd reader, writer;
};
int MakePipe(Pipe& made) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return errno;
  made.reader = UniqueFd(fds[0]);
  made.writer = UniqueFd(fds[1]);
  if (fds[1] < 3) made.writer = UniqueFd(fcntl(fds[1], F_DUPFD_CLOEXEC, 3));
  return made.writer.valid() ? 0 : errno;
}

// 0 when the program was executed.
int ReadExecError(int fd) {
  int error = 0;
  ssize_t got = 0;
  do {
    got = read(fd, &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(error) ? error : 0;
}

void KillAndReap(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Outcome ForkAndExec(ChildSetup setup) {
  Pipe errors;
  if (const int error = MakePipe(errors); error != 0) return {.error = error};
  setup.error_fd = errors.writer.get();
  setup.parent = getpid();
  // vfork: a daemon with gigabytes mapped must not copy its page tables for each `docker inspect`,
  // and no pthread_atfork handler of a library may run. This thread stands still until the exec,
  // with its signals blocked (SpawnerThread), so that no handler runs in the child on this memory.
  Outcome outcome;
  outcome.pid = vfork();
  if (outcome.pid == 0) BecomeProgram(setup);
  if (outcome.pid < 0) return {.error = errno};

  errors.writer.Reset();
  outcome.exec_error = ReadExecError(errors.reader.get());
  if (outcome.exec_error == 0) {
    outcome.pidfd = OpenPidfd(outcome.pid).Release();
    if (outcome.pidfd < 0) outcome.error = errno;
  }
  if (outcome.pidfd < 0) KillAndReap(outcome.pid);
  return outcome;
}

// The thread that forks for everybody.
class SpawnerThread {
 public:
  static SpawnerThread& Get() {
    // Never destroyed: the death signal of all programs hangs on its life.
    static auto* const spawner = new SpawnerThread;
    return *spawner;
  }

  Outcome Run(const ChildSetup& setup) {
    Task task{.setup = setup};
    base::MutexLock lock(mutex_);
    queue_.push_back(&task);
    changed_.SignalAll();
    while (!task.done) changed_.Wait(mutex_);
    return task.outcome;
  }

 private:
  struct Task {
    ChildSetup setup;
    Outcome outcome = {};
    bool done = false;
  };

  SpawnerThread() {
    // Whoever started this process may have ignored SIGCHLD, which exec hands on: the kernel would
    // then reap our programs, and their exit codes with them.
    signal(SIGCHLD, SIG_DFL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { Serve(); });  // inherits the mask
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  [[noreturn]] void Serve() {
    for (;;) {
      Task* task = nullptr;
      {
        base::MutexLock lock(mutex_);
        while (queue_.empty()) changed_.Wait(mutex_);
        task = queue_.front();
        queue_.pop_front();
      }
      const Outcome outcome = ForkAndExec(task->setup);
      base::MutexLock lock(mutex_);
      task->outcome = outcome;
      task->done = true;
      changed_.SignalAll();
    }
  }

  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<Task*> queue_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  // execve takes char* const[] for history's sake, and writes to nothing.
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status ExecError(int error, const std::string& path) {
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(absl::StrFormat(
          "execute %s: no such file, or the interpreter that its first line names is missing",
          path));
    case ENOEXEC:
      return absl::FailedPreconditionError(absl::StrFormat(
          "execute %s: it is neither a program for this machine nor a script with a #! line",
          path));
    case E2BIG:
      return absl::InvalidArgumentError(
          absl::StrFormat("execute %s: its arguments and environment are too large", path));
    default:
      return ErrnoStatus(error, "execute " + path);
  }
}

}  // namespace

absl::StatusOr<SpawnedProcess> Spawn(const SpawnPlan& plan) {
  const std::vector<char*> argv = Pointers(plan.argv), env = Pointers(plan.env);
  const Outcome outcome =
      SpawnerThread::Get().Run({.path = plan.path.c_str(),
                                .argv = argv.data(),
                                .env = env.data(),
                                .fds = {plan.stdin_fd, plan.stdout_fd, plan.stderr_fd},
                                .umask = plan.umask});
  if (outcome.exec_error != 0) return ExecError(outcome.exec_error, plan.path);
  if (outcome.error != 0) return ErrnoStatus(outcome.error, "start a process for " + plan.path);
  return SpawnedProcess{.pid = outcome.pid, .pidfd = UniqueFd(outcome.pidfd)};
}

}  // namespace tao::io
