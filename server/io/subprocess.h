#pragma once

// Helper programs (docker, kubectl, ssh, ...): argv lists, never a shell. Each is the leader of its
// own process group, and what it leaves running in that group ends with it. Helper programs also
// end with the daemon (PR_SET_PDEATHSIG; they are forked from a thread that lives as long as the
// process, since the signal comes when the forking thread ends). Services are never started through
// this.

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/cancel.h"
#include "server/base/secret.h"

namespace tao::io {

struct SubprocessOptions {
  std::vector<std::string> argv;  // argv[0] without a slash is looked up in the program's own PATH
  // Whether the daemon's environment is inherited. Without it the program gets `env` and
  // `secret_env`.
  bool inherit_env = true;
  // Names that are not inherited (so that a secret reaches only the program that needs it).
  std::vector<std::string> unset_env;
  // Added, or replacing what is inherited. Secrets travel in secret_env and nowhere else.
  std::map<std::string, std::string> env;
  std::map<std::string, base::Secret> secret_env;
  std::optional<mode_t> umask = std::nullopt;  // of the program; nullopt: the daemon's
  std::string stdin_text;                      // all that it can read from stdin; empty: /dev/null
  size_t max_output_bytes = 1 << 20;  // of each stream; the head is kept, what is beyond is dropped
  // Called with each line of stdout and stderr as it comes (without its line end; a line of more
  // than 64 KiB comes in pieces), from the thread that waits. False: the reader has enough, the
  // program is ended, and the wait returns Cancelled. May be null.
  std::function<bool(bool is_stderr, std::string_view line)> on_line;

  // RunSubprocess only; Subprocess::Wait has them as parameters.
  absl::Duration timeout = absl::Seconds(30);  // may be InfiniteDuration
  const base::CancelToken* cancel = nullptr;   // may be null
};

struct SubprocessResult {
  int exit_code = 0;  // 128 + signal when it was killed by one
  std::string out, err;
};

// Runs to the end. Errors: NotFound = no such program (how to get it is the caller's to say);
// InvalidArgument = argv or environment that no program can be given; FailedPrecondition = the file
// cannot be executed; Unavailable, ResourceExhausted = could not fork; DeadlineExceeded, Cancelled
// = it was ended (SIGTERM to the group, 2 s, SIGKILL), and the text ends with its last words. A
// non-zero exit is not an error here.
absl::StatusOr<SubprocessResult> RunSubprocess(const SubprocessOptions& options);

// Where `program` is in `path` (folders, separated by colons), as RunSubprocess finds it; a program
// with a slash is its own path. nullopt when it is not there or cannot be executed.
std::optional<std::string> FindProgram(const std::string& program, std::string_view path);

// Owns one running program, for those that run long (a followed log, a tunnel). Its output moves
// only while somebody waits: a program that writes much stands still in between. Externally
// synchronised; another thread ends a Wait through its cancel token.
class Subprocess {
 public:
  // Errors as for RunSubprocess. The program has been executed when it returns OK.
  static absl::StatusOr<Subprocess> Spawn(SubprocessOptions options);

  Subprocess(Subprocess&& other) noexcept;
  Subprocess& operator=(Subprocess&& other) noexcept;
  ~Subprocess();  // kills the group with SIGKILL, unless it has ended, and reaps it

  pid_t pid() const;

  // Until it ended. On DeadlineExceeded and Cancelled it still runs and is still owned. Again after
  // the end: the same result.
  absl::StatusOr<SubprocessResult> Wait(absl::Duration timeout,
                                        const base::CancelToken* cancel = nullptr);
  // SIGTERM to the group, and SIGKILL when it still runs after `grace`. Its result; OK again after
  // the end.
  SubprocessResult Terminate(absl::Duration grace = absl::Seconds(2));

 private:
  struct Running;
  explicit Subprocess(std::unique_ptr<Running> running);
  std::unique_ptr<Running> running_;  // null when moved from
};

}  // namespace tao::io
