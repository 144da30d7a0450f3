#pragma once

// Pure: what stands in a job's folder and in /proc -> our types. See parent/protocol.h for the
// files.

#include <absl/status/statusor.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/platforms/platform.h"

namespace tao::platforms {

// parent.json.
struct ParentRecord {
  pid_t pid = 0;
  uint64_t start_time =
      0;  // clock ticks after boot: with pid and boot_id it names one process for ever
  std::string boot_id;
  std::string daemon_id;
  std::string job_id;
  int port = 0;
  std::optional<pid_t> child_pid;  // once the command runs
};
absl::StatusOr<ParentRecord> ParseParentRecord(std::string_view json);

// exit.json.
struct ExitRecord {
  std::optional<int> exit_code;
  std::optional<int> signal;
  bool stopped = false;      // ended because it was told to
  bool not_started = false;  // the driver's own: the job was stopped before it had a parent
};
absl::StatusOr<ExitRecord> ParseExitRecord(std::string_view json);

// What the driver writes itself, after it made sure that nothing of the job runs: when there never
// was a parent (one of a dead daemon may still be on its way, and must not start the job), and when
// the parent was killed before it could write.
std::string NotStartedExitRecord();
std::string KilledExitRecord();

// All that is known of a job.
struct JobFiles {
  bool locked = false;  // a parent lives
  std::optional<ParentRecord> parent;
  std::optional<ExitRecord> exit;
};
PlatformState ToPlatformState(const JobFiles& files);

// /proc/PID/stat.
struct ProcessStat {
  char state = '?';  // 'Z': ended, and not reaped
  pid_t parent = 0;
  pid_t session = 0;
  uint64_t start_time = 0;
};
absl::StatusOr<ProcessStat> ParseProcessStat(std::string_view text);

}  // namespace tao::platforms
