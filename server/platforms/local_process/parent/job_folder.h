#pragma once

// The parent's side of the job's folder (protocol.h). Single thread.

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "server/platforms/local_process/parent/options.h"

namespace tao::process_parent {

class JobFolder {
 public:
  JobFolder() = default;
  JobFolder(const JobFolder&) = delete;
  JobFolder& operator=(const JobFolder&) = delete;
  // Closes nothing: the lock is held for the life of the process, to its very end.
  ~JobFolder() = default;

  // False, with errno, when `path` is no folder that we can use.
  bool Open(const std::string& path);
  int fd() const { return fd_; }

  enum class Lock { kMine, kTaken, kError };  // kError: errno says why
  Lock TakeLock();

  bool HasEnded() const;  // there is an exit.json

  // Durable when true; errno otherwise. `child` once it runs.
  bool WriteParentFile(const Options& options, std::optional<pid_t> child) const;
  // `wait_status` as waitpid gives it.
  bool WriteExitFile(int wait_status, bool stopped) const;
  // For a start that failed: as if it had never been.
  void RemoveParentFile() const;

 private:
  bool Replace(const char* name, std::string_view content) const;

  int fd_ = -1;
  int lock_fd_ = -1;
};

// Field 22 of /proc/PID/stat: clock ticks after boot. With the pid and the boot it names one
// process for ever. 0 when there is no such process.
unsigned long long StartTimeOf(pid_t pid);

}  // namespace tao::process_parent
