#include "server/io/subprocess.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>

#include "server/base/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/io/errno_status.h"
#include "server/io/file.h"
#include "server/io/spawn.h"

extern char** environ;

namespace tao::io {
namespace {

constexpr size_t kLongestLine = 64 << 10;
constexpr absl::Duration kGrace = absl::Seconds(2);

bool IsExecutableFile(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

// A program with a slash is left to exec, which says best what is wrong with it.
absl::StatusOr<std::string> PathOf(const std::string& program, std::string_view path_variable) {
  if (program.find('/') != std::string::npos) return program;
  std::optional<std::string> found = FindProgram(program, path_variable);
  if (found.has_value()) return *std::move(found);
  return absl::NotFoundError(absl::StrFormat("no program %s in PATH (%s)", base::Quoted(program),
                                             base::Quoted(path_variable, 300)));
}

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

absl::Status CheckVariable(const std::string& name, const std::string& value) {
  if (name.empty() || name.find('=') != std::string::npos || HasNul(name)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s cannot be the name of an environment variable", base::Quoted(name)));
  }
  if (HasNul(value)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("the value of environment variable %s holds a NUL byte", name));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, std::string>> EnvironmentOf(const SubprocessOptions& options) {
  std::map<std::string, std::string> all;
  if (options.inherit_env) {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text = *entry;
      const size_t equals = text.find('=');
      if (equals != std::string_view::npos) {
        all.emplace(text.substr(0, equals), text.substr(equals + 1));
      }
    }
  }
  for (const std::string& name : options.unset_env) all.erase(name);
  for (const auto& [name, value] : options.env) {
    RETURN_IF_ERROR(CheckVariable(name, value));
    all.insert_or_assign(name, value);
  }
  for (const auto& [name, value] : options.secret_env) {
    RETURN_IF_ERROR(CheckVariable(name, value.Reveal()));
    all.insert_or_assign(name, value.Reveal());
  }
  return all;
}

// `fd`, or a copy of it that is 3 or above (a process can have been started without 0, 1 and 2).
UniqueFd Above2(UniqueFd fd) {
  if (!fd.valid() || fd.get() > 2) return fd;
  return UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
}

// A file in memory instead of a pipe: nothing to pump, no SIGPIPE, and it holds secrets (docker
// login) no longer than the program does.
absl::StatusOr<UniqueFd> StdinWith(const std::string& text) {
  if (text.empty()) {
    UniqueFd null = Above2(UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)));
    if (!null.valid()) return ErrnoStatus(errno, "open /dev/null");
    return null;
  }
  UniqueFd memory = Above2(UniqueFd(memfd_create("stdin", MFD_CLOEXEC)));
  if (!memory.valid()) return ErrnoStatus(errno, "create a file in memory for stdin");
  for (size_t done = 0; done < text.size();) {
    const ssize_t written =
        pwrite(memory.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write a file in memory for stdin");
    done += static_cast<size_t>(written);
  }
  return memory;
}

// One of the program's two output streams.
class OutputStream {
 public:
  // The program's end of a new pipe.
  absl::StatusOr<UniqueFd> Open() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "create a pipe for output");
    reader_ = UniqueFd(fds[0]);
    UniqueFd writer = Above2(UniqueFd(fds[1]));
    if (!writer.valid() || fcntl(reader_.get(), F_SETFL, O_NONBLOCK) != 0) {
      return ErrnoStatus(errno, "create a pipe for output");
    }
    return writer;
  }

  int fd() const { return reader_.get(); }  // -1 after the end
  const std::string& kept() const { return kept_; }

  // Reads what is there, at most `limit` bytes. `on_line` may be null; false when it said so.
  bool Read(size_t limit, size_t max_kept, bool is_stderr,
            const std::function<bool(bool, std::string_view)>& on_line) {
    char buffer[16 << 10];
    while (reader_.valid() && limit > 0) {
      const ssize_t got = read(reader_.get(), buffer, std::min(sizeof(buffer), limit));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return true;
      if (got <= 0) return End(is_stderr, on_line);
      const std::string_view piece(buffer, static_cast<size_t>(got));
      limit -= piece.size();
      kept_.append(piece.substr(0, max_kept - std::min(kept_.size(), max_kept)));
      if (on_line && !AddToLines(piece, is_stderr, on_line)) return false;
    }
    return true;
  }

  // No more will be read: a line without its end is a line now.
  bool End(bool is_stderr, const std::function<bool(bool, std::string_view)>& on_line) {
    reader_.Reset();
    const std::string rest = std::exchange(line_, "");
    return rest.empty() || !on_line || on_line(is_stderr, rest);
  }

 private:
  bool AddToLines(std::string_view piece, bool is_stderr,
                  const std::function<bool(bool, std::string_view)>& on_line) {
    while (!piece.empty()) {
      const size_t end = piece.find('\n');
      line_.append(piece.substr(0, end));
      piece.remove_prefix(end == std::string_view::npos ? piece.size() : end + 1);
      if (end == std::string_view::npos && line_.size() < kLongestLine) return true;
      const std::string line = std::exchange(line_, "");
      if (!on_line(is_stderr, line)) return false;
    }
    return true;
  }

  UniqueFd reader_;
  std::string kept_;
  std::string line_;  // begun and not ended
};

int PollTimeout(absl::Duration left) {
  // Rounded up, so that poll does not come back just before the deadline; capped for an int.
  const absl::Duration capped = std::clamp(left, absl::ZeroDuration(), absl::Hours(1));
  return static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(capped, absl::Milliseconds(1))));
}

// For error texts: the command (argv holds no secret, but a path may be long), and the last line
// said.
std::string LastWords(const SubprocessResult& result) {
  std::string_view text = result.err.empty() ? result.out : result.err;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  if (text.empty()) return ". It had said nothing";
  const size_t line = text.rfind('\n');
  if (line != std::string_view::npos) text.remove_prefix(line + 1);
  return absl::StrFormat(". Its last words: %s",
                         base::Quoted(base::Redact(std::string(text)), 300));
}

}  // namespace

std::optional<std::string> FindProgram(const std::string& program, std::string_view path) {
  if (program.find('/') != std::string::npos) {
    return IsExecutableFile(program) ? std::optional<std::string>(program) : std::nullopt;
  }
  while (!path.empty()) {
    const size_t colon = path.find(':');
    const std::string_view folder = path.substr(0, colon);
    path.remove_prefix(colon == std::string_view::npos ? path.size() : colon + 1);
    if (folder.empty()) continue;  // POSIX: the current folder, where we trust nothing
    std::string candidate = absl::StrFormat("%s/%s", folder, program);
    if (IsExecutableFile(candidate)) return candidate;
  }
  return std::nullopt;
}

struct Subprocess::Running {
  SubprocessOptions options;
  std::string command;  // for error texts
  pid_t pid = -1;
  UniqueFd pidfd;
  OutputStream out, err;
  bool reader_left = false;  // on_line said false
  std::optional<SubprocessResult> result;

  // Moves output until it ended (OK), `timeout`, `cancel`, or on_line said false.
  absl::Status Pump(absl::Duration timeout, const base::CancelToken* cancel);
  // After the end: takes what is left in the pipes, ends what is left of the group, reaps.
  void Collect();
  void SignalGroup(int number) const {
    kill(-pid, number);
  }  // safe: not reaped, so the id is its own
  // Only the head is kept, up to the limit of each stream.
  void Drain(OutputStream& stream, size_t limit) {
    const bool goes_on = stream.Read(limit, options.max_output_bytes, &stream == &err,
                                     reader_left ? nullptr : options.on_line);
    if (!goes_on) reader_left = true;
  }
  SubprocessResult Kept() const { return {.exit_code = 0, .out = out.kept(), .err = err.kept()}; }
};

absl::Status Subprocess::Running::Pump(absl::Duration timeout, const base::CancelToken* cancel) {
  const absl::Duration deadline = base::RealClock().Monotonic() + timeout;
  while (true) {
    if (reader_left) return absl::CancelledError(command + ": the reader of its output left");
    if (cancel != nullptr && cancel->cancelled()) {
      return absl::CancelledError(command + " was cancelled");
    }
    pollfd polled[] = {
        {.fd = pidfd.get(), .events = POLLIN, .revents = 0},
        {.fd = out.fd(), .events = POLLIN, .revents = 0},  // -1 is skipped
        {.fd = err.fd(), .events = POLLIN, .revents = 0},
        {.fd = cancel == nullptr ? -1 : cancel->fd(), .events = POLLIN, .revents = 0}};
    const absl::Duration left = deadline - base::RealClock().Monotonic();
    const int ready = poll(polled, std::size(polled), PollTimeout(left));
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "wait for " + command);
    if (ready > 0) {
      // In pieces, so that a program that never stops writing cannot keep us from the rest.
      if (polled[1].revents != 0) Drain(out, kLongestLine);
      if (polled[2].revents != 0) Drain(err, kLongestLine);
      if (polled[0].revents != 0) return absl::OkStatus();
    }
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrFormat("%s did not end within %s", command, absl::FormatDuration(timeout)));
    }
  }
}

void Subprocess::Running::Collect() {
  SignalGroup(SIGKILL);
  // A process that left the group may hold the pipes and write for ever. What the program itself
  // wrote is in them by now, so what they hold at most is enough.
  for (OutputStream* stream : {&out, &err}) {
    if (stream->fd() < 0) continue;
    const int capacity = fcntl(stream->fd(), F_GETPIPE_SZ);
    Drain(*stream, capacity > 0 ? static_cast<size_t>(capacity) : kLongestLine);
    stream->End(stream == &err, reader_left ? nullptr : options.on_line);
  }
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = waitpid(pid, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  pidfd.Reset();
  result = Kept();
  // Never: somebody else reaped it, which only a SIGCHLD that is ignored or a foreign wait() can
  // do.
  if (reaped != pid) std::abort();
  result->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

absl::StatusOr<Subprocess> Subprocess::Spawn(SubprocessOptions options) {
  if (options.argv.empty() || std::any_of(options.argv.begin(), options.argv.end(), HasNul)) {
    return absl::InvalidArgumentError("an argument list is empty, or an argument holds a NUL byte");
  }
  ASSIGN_OR_RETURN(const auto environment, EnvironmentOf(options));
  const auto path_variable = environment.find("PATH");
  SpawnPlan plan;
  ASSIGN_OR_RETURN(plan.path, PathOf(options.argv[0], path_variable == environment.end()
                                                          ? "/usr/local/bin:/usr/bin:/bin"
                                                          : path_variable->second));
  plan.argv = options.argv;
  for (const auto& [name, value] : environment) plan.env.push_back(name + "=" + value);

  auto running = std::make_unique<Running>();
  for (const std::string& argument : options.argv) {
    running->command += running->command.empty() ? argument : " " + argument;
  }
  running->command = base::Quoted(base::Redact(std::move(running->command)));
  ASSIGN_OR_RETURN(const UniqueFd stdin_fd, StdinWith(options.stdin_text));
  ASSIGN_OR_RETURN(const UniqueFd stdout_fd, running->out.Open());
  ASSIGN_OR_RETURN(const UniqueFd stderr_fd, running->err.Open());
  plan.stdin_fd = stdin_fd.get();
  plan.stdout_fd = stdout_fd.get();
  plan.stderr_fd = stderr_fd.get();
  if (options.umask.has_value()) plan.umask = static_cast<int>(*options.umask);
  ASSIGN_OR_RETURN(SpawnedProcess spawned, io::Spawn(plan));
  running->pid = spawned.pid;
  running->pidfd = std::move(spawned.pidfd);
  options.stdin_text.clear();  // may be a secret
  options.secret_env.clear();
  running->options = std::move(options);
  return Subprocess(std::move(running));
}

Subprocess::Subprocess(std::unique_ptr<Running> running) : running_(std::move(running)) {}
Subprocess::Subprocess(Subprocess&& other) noexcept = default;

Subprocess& Subprocess::operator=(Subprocess&& other) noexcept {
  std::swap(running_, other.running_);  // ours ends with `other`
  return *this;
}

Subprocess::~Subprocess() {
  if (running_ == nullptr || running_->result.has_value()) return;
  running_->reader_left = true;  // nobody is told of lines any more
  running_->SignalGroup(SIGKILL);
  running_->Collect();
}

pid_t Subprocess::pid() const { return running_->pid; }

absl::StatusOr<SubprocessResult> Subprocess::Wait(absl::Duration timeout,
                                                  const base::CancelToken* cancel) {
  if (!running_->result.has_value()) {
    RETURN_IF_ERROR(running_->Pump(timeout, cancel));
    running_->Collect();
  }
  return *running_->result;
}

SubprocessResult Subprocess::Terminate(absl::Duration grace) {
  if (!running_->result.has_value()) {
    running_->SignalGroup(SIGTERM);
    // Its output still moves, or a program that says good-bye into a full pipe could not end.
    running_->options.on_line = nullptr;
    running_->reader_left = false;
    static_cast<void>(running_->Pump(grace, nullptr).ok());
    running_->SignalGroup(SIGKILL);
    running_->Collect();
  }
  return *running_->result;
}

absl::StatusOr<SubprocessResult> RunSubprocess(const SubprocessOptions& options) {
  ASSIGN_OR_RETURN(Subprocess child, Subprocess::Spawn(options));
  absl::StatusOr<SubprocessResult> result = child.Wait(options.timeout, options.cancel);
  if (result.ok()) return result;
  const SubprocessResult partial = child.Terminate(kGrace);
  return absl::Status(result.status().code(),
                      absl::StrFormat("%s; it was ended%s", base::ToStd(result.status().message()),
                                      LastWords(partial)));
}

}  // namespace tao::io
