#pragma once

// Helper programs (docker, kubectl, ssh, ...): argv lists, never a shell. Helper programs end with
// the daemon (PR_SET_PDEATHSIG; they are forked from a thread that lives as long as the process,
// since the signal comes when the forking thread ends). Services are never started through this.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/cancel.h"
#include "server/base/secret.h"

namespace tao::io {

struct SubprocessOptions {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH
  // Added to the daemon's own environment, or replacing it. Secrets travel here and nowhere else.
  std::map<std::string, base::Secret> secret_env;
  std::map<std::string, std::string> env;
  // Names that the child does not inherit (so that a secret reaches only the program that needs
  // it).
  std::vector<std::string> unset_env;
  std::string stdin_text;  // written, then closed; empty: /dev/null
  absl::Duration timeout = absl::Seconds(30);
  const base::CancelToken* cancel = nullptr;  // may be null
  size_t max_output_bytes = 1 << 20;  // of each stream; what is beyond is dropped, the head kept
  // Called with each line of stdout/stderr as it comes (no line end), beside being kept; may be
  // null.
  std::function<void(bool is_stderr, std::string_view line)> on_line;
};

struct SubprocessResult {
  int exit_code = 0;  // 128 + signal when it was killed by one
  std::string out, err;
};

// Runs to the end. Errors: NotFound = no such program (says how to get it is the caller's);
// Unavailable = could not fork; DeadlineExceeded, Cancelled = the process group was ended (SIGTERM,
// 2 s, SIGKILL). A non-zero exit is not an error here.
absl::StatusOr<SubprocessResult> RunSubprocess(const SubprocessOptions& options);

}  // namespace tao::io
