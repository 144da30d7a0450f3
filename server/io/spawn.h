#pragma once

// The fork of this process, once and rightly. Internal to server/io: see subprocess.h.

#include <absl/status/statusor.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "server/io/file.h"

namespace tao::io {

struct SpawnPlan {
  std::string path;               // of the program; argv[0] may be something else
  std::vector<std::string> argv;  // without NULs
  std::vector<std::string> env;   // "NAME=VALUE", without NULs
  int stdin_fd = -1, stdout_fd = -1,
      stderr_fd = -1;  // the program's 0, 1 and 2; must be 3 or above
  int umask = -1;      // -1: this process's
};

struct SpawnedProcess {
  pid_t pid = -1;  // leader of its own process group; the caller must reap it
  UniqueFd pidfd;  // readable once it has ended
};

// Blocks until the program has been executed, a few milliseconds. The child has no other descriptor
// than 0, 1 and 2, no blocked or ignored signal, and gets SIGKILL when this process ends, however
// it ends. Errors: NotFound, FailedPrecondition = exec refused the file; ResourceExhausted,
// Unavailable = no fork. Thread-safe.
absl::StatusOr<SpawnedProcess> Spawn(const SpawnPlan& plan);

}  // namespace tao::io
