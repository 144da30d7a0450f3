#include "server/platforms/local_process/job_folder_view.h"

#include <absl/strings/str_format.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "server/base/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/io/errno_status.h"
#include "server/io/pidfd.h"
#include "server/platforms/local_process/parent/protocol.h"

namespace tao::platforms {
namespace {

using process_parent::kExitFile;
using process_parent::kLockFile;
using process_parent::kParentFile;

constexpr char kStoppedFile[] = "stopped";
constexpr size_t kMaxFileBytes = 64 << 10;
// A parent needs milliseconds for what it does beside waiting for its job: fsync on a slow disk.
constexpr absl::Duration kSlack = absl::Seconds(10);

struct flock WholeFile() {
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  return whole;
}

// Asked, and never tried: to take the lock even for a moment would turn away a parent on its way.
absl::StatusOr<bool> IsLocked(const std::string& path) {
  const io::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) {
    if (errno == ENOENT) return false;
    return io::ErrnoStatus(errno, "open " + path);
  }
  struct flock lock = WholeFile();
  if (fcntl(fd.get(), F_OFD_GETLK, &lock) != 0) return io::ErrnoStatus(errno, "ask for " + path);
  return lock.l_type != F_UNLCK;
}

// nullopt when there is none; Unavailable when it is there and does not say what it should, since
// it is replaced in one piece: somebody else wrote it.
template <typename Record>
absl::StatusOr<std::optional<Record>> ReadRecord(
    const std::string& path, absl::StatusOr<Record> (*parse)(std::string_view)) {
  const absl::StatusOr<std::string> text = io::ReadOwnFile(path, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) return std::optional<Record>();
  const absl::StatusOr<Record> record = text.ok() ? parse(*text) : text.status();
  if (record.ok()) return std::optional<Record>(*record);
  return absl::UnavailableError(
      absl::StrFormat("cannot read %s: %s", path, base::ToStd(record.status().message())));
}

absl::StatusOr<ProcessStat> StatOf(pid_t pid) {
  const std::string path = absl::StrFormat("/proc/%d/stat", pid);
  const io::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[1024];
  const ssize_t got = fd.valid() ? read(fd.get(), buffer, sizeof(buffer)) : -1;
  if (got <= 0) return absl::NotFoundError(absl::StrFormat("no process %d", pid));
  return ParseProcessStat({buffer, static_cast<size_t>(got)});
}

std::string BootId() {
  char buffer[64];
  const io::UniqueFd fd(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  const ssize_t got = fd.valid() ? read(fd.get(), buffer, sizeof(buffer)) : -1;
  if (got <= 0) return "";
  const std::string_view text(buffer, static_cast<size_t>(got));
  return std::string(text.substr(0, text.find('\n')));
}

// Whoever still runs in the session of a parent that is dead. The command itself died with its
// parent (PR_SET_PDEATHSIG); what it had started may not have. The kernel gives the number of a
// session to no new process while one of the session lives, so these are the job's.
std::vector<pid_t> SessionOf(const ParentRecord& parent) {
  std::vector<pid_t> members;
  if (parent.boot_id != BootId()) return members;
  const absl::StatusOr<ProcessStat> leader = StatOf(parent.pid);
  if (leader.ok() && leader->start_time != parent.start_time) return members;  // used again
  DIR* const proc = opendir("/proc");
  if (proc == nullptr) return members;
  while (const dirent* const entry = readdir(proc)) {
    const pid_t pid = std::atoi(entry->d_name);
    struct stat info = {};
    if (pid <= 0 || fstatat(dirfd(proc), entry->d_name, &info, 0) != 0) continue;
    const absl::StatusOr<ProcessStat> stat = StatOf(pid);
    if (info.st_uid == geteuid() && stat.ok() && stat->session == parent.pid &&
        stat->state != 'Z' && stat->start_time >= parent.start_time) {
      members.push_back(pid);
    }
  }
  closedir(proc);
  return members;
}

// False when it has not ended after `timeout`.
bool WaitForEnd(const io::UniqueFd& pidfd, absl::Duration timeout) {
  const absl::Duration deadline = base::RealClock().Monotonic() + timeout;
  while (true) {
    const absl::Duration left = deadline - base::RealClock().Monotonic();
    pollfd polled = {.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const int ready =
        poll(&polled, 1,
             static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(left), 0, 3'600'000)));
    if (ready == 1) return true;
    if (left <= absl::ZeroDuration()) return false;
  }
}

absl::Status KillSession(const ParentRecord& parent, const std::string& folder) {
  // A few rounds: one of them may fork while we look.
  for (int round = 0; round < 20; ++round) {
    const std::vector<pid_t> members = SessionOf(parent);
    if (members.empty()) return absl::OkStatus();
    for (const pid_t pid : members) {
      const io::UniqueFd pidfd = io::OpenPidfd(pid);
      const absl::StatusOr<ProcessStat> stat = StatOf(pid);  // of the one we hold now
      if (!pidfd.valid() || !stat.ok() || stat->session != parent.pid) continue;
      syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
      WaitForEnd(pidfd, absl::Seconds(1));
    }
  }
  return absl::UnavailableError(absl::StrFormat(
      "processes of session %d (job folder %s) do not end on SIGKILL: they hang in the kernel, "
      "often in a driver or on a network file system. Look at them (ps -s %d), then stop it again",
      parent.pid, folder, parent.pid));
}

// SIGTERM with the grace period as its value, to exactly the process that was opened.
void TellToEnd(const io::UniqueFd& parent, absl::Duration grace) {
  siginfo_t info = {};
  info.si_signo = SIGTERM;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = static_cast<int>(
      absl::ToInt64Milliseconds(std::clamp(grace, absl::ZeroDuration(), absl::Hours(24))));
  syscall(SYS_pidfd_send_signal, parent.get(), SIGTERM, &info, 0);
}

// So that a parent of a dead daemon that is late finds that the job has ended. True when it did;
// false when a parent was faster.
absl::StatusOr<bool> CloseTheDoor(const std::string& folder) {
  const std::string path = folder + "/" + kLockFile;
  const io::UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) {
    // Without its folder no parent can start.
    if (errno == ENOENT) return true;
    return io::ErrnoStatus(errno, "open " + path);
  }
  struct flock lock = WholeFile();
  if (fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES) return false;
    return io::ErrnoStatus(errno, "lock " + path);
  }
  ASSIGN_OR_RETURN(const JobFiles files, LookAtJob(folder));
  if (!files.exit.has_value()) {
    RETURN_IF_ERROR(io::ReplaceFile(folder + "/" + kExitFile, files.parent.has_value()
                                                                  ? KilledExitRecord()
                                                                  : NotStartedExitRecord()));
  }
  return true;
}

}  // namespace

absl::StatusOr<JobFiles> LookAtJob(const std::string& folder) {
  JobFiles files;
  // The lock first: when it is free, the files say the last word. The other way round, a parent
  // could write its last word and go in between.
  const absl::StatusOr<bool> locked = IsLocked(folder + "/" + kLockFile);
  if (!locked.ok()) {
    return absl::UnavailableError(
        absl::StrFormat("cannot look at the job: %s", base::ToStd(locked.status().message())));
  }
  files.locked = *locked;
  ASSIGN_OR_RETURN(files.parent, ReadRecord(folder + "/" + kParentFile, &ParseParentRecord));
  ASSIGN_OR_RETURN(files.exit, ReadRecord(folder + "/" + kExitFile, &ParseExitRecord));
  return files;
}

io::UniqueFd OpenParent(const ParentRecord& parent) {
  io::UniqueFd pidfd = io::OpenPidfd(parent.pid);
  // Of the process that is held now: another one with the same pid began at another time.
  const absl::StatusOr<ProcessStat> stat = StatOf(parent.pid);
  if (!stat.ok() || stat->start_time != parent.start_time || parent.boot_id != BootId()) {
    pidfd.Reset();
  }
  return pidfd;
}

absl::Status EndJob(const std::string& folder, absl::Duration grace) {
  const absl::Duration deadline = base::RealClock().Monotonic() + grace + 2 * kSlack;
  while (true) {
    ASSIGN_OR_RETURN(const JobFiles files, LookAtJob(folder));
    if (!files.locked) {
      if (files.parent.has_value()) RETURN_IF_ERROR(KillSession(*files.parent, folder));
      ASSIGN_OR_RETURN(const bool closed, CloseTheDoor(folder));
      if (closed) return absl::OkStatus();
    } else if (files.parent.has_value()) {
      const io::UniqueFd parent = OpenParent(*files.parent);
      if (parent.valid()) {
        TellToEnd(parent, grace);
        if (!WaitForEnd(parent, grace + kSlack)) {
          syscall(SYS_pidfd_send_signal, parent.get(), SIGKILL, nullptr, 0);
          WaitForEnd(parent, absl::Seconds(1));
        }
      }
    }
    if (base::RealClock().Monotonic() > deadline) {
      return absl::UnavailableError(absl::StrFormat(
          "%s/%s stays locked, and its holder does not end. Find it (fuser %s/%s), then stop the "
          "service again",
          folder, kLockFile, folder, kLockFile));
    }
    // The holder is between two system calls: just started, or just ended.
    if (files.locked) poll(nullptr, 0, 10);
  }
}

absl::Status ReopenTheDoor(const std::string& folder) {
  ASSIGN_OR_RETURN(const JobFiles files, LookAtJob(folder));
  if (!files.exit.has_value() || !files.exit->not_started) return absl::OkStatus();
  const std::string path = folder + "/" + kExitFile;
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return io::ErrnoStatus(errno, "remove " + path);
  return io::SyncFolder(folder);
}

absl::Status MarkStopped(const std::string& folder) {
  if (access(folder.c_str(), F_OK) != 0 && errno == ENOENT) return absl::OkStatus();
  return io::ReplaceFile(folder + "/" + kStoppedFile, "");
}

bool IsMarkedStopped(const std::string& folder) {
  return access((folder + "/" + kStoppedFile).c_str(), F_OK) == 0;
}

}  // namespace tao::platforms
