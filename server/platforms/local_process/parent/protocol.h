#pragma once

// What tao-process-parent and the local-process driver agree on. Everything else between them is in
// the job's folder, because both the parent and its job outlive the daemon:
//
//   parent.lock   the parent holds a write lock on it (fcntl, open file description) for life. Who
//   does
//                 not get it at once is too late and exits, so that one job has one parent. Whether
//                 it is held is the answer to "does the job run": it needs no pid, and F_OFD_GETLK
//                 asks without taking it.
//   parent.json   written before the command is started, and again when it runs: pid, start_time,
//                 boot_id, daemon_id, job_id, port; child_pid once it runs
//   output.log    stdout and stderr of the command; output.log.1 is the one before
//   exit.json     written when nothing of the job runs any more: exit_code or signal, stopped,
//   time.
//                 A parent that finds one does not start the command (again).
//
// SIGTERM ends the job: SIGTERM to its process group, and SIGKILL to all that is left after the
// grace period. A sigqueue value is that period in milliseconds, in place of --grace-ms.

namespace tao::process_parent {

inline constexpr char kLockFile[] = "parent.lock";
inline constexpr char kParentFile[] = "parent.json";
inline constexpr char kExitFile[] = "exit.json";
inline constexpr char kLogFile[] = "output.log";
inline constexpr char kOlderLogFile[] = "output.log.1";

// Exit codes of the program as it is called. It goes into the background by itself and returns when
// the command runs, or cannot; what it has to say of a failure is on stderr, in one line.
enum StarterExit {
  kRunning = 0,
  kUsage = 2,
  kTaken = 3,  // the job has a parent already
  kEnded = 4,  // the job has run already
  kFailed = 5,
};

}  // namespace tao::process_parent
