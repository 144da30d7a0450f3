#include "server/platforms/local_process/parent/job_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "server/platforms/local_process/parent/protocol.h"

namespace tao::process_parent {
namespace {

// Small files of /proc; empty when it cannot be read.
std::string ReadSmallFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  char buffer[4096];
  const ssize_t got = read(fd, buffer, sizeof(buffer));
  close(fd);
  return got > 0 ? std::string(buffer, static_cast<size_t>(got)) : "";
}

std::string BootId() {
  std::string id = ReadSmallFile("/proc/sys/kernel/random/boot_id");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

std::string NowUtc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  gmtime_r(&now, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts));
}

}  // namespace

unsigned long long StartTimeOf(pid_t pid) {
  const std::string stat = ReadSmallFile("/proc/" + std::to_string(pid) + "/stat");
  // Field 2 is the name in parentheses, and may itself hold spaces and parentheses.
  size_t at = stat.rfind(')');
  for (int field = 3; field <= 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  return at == std::string::npos ? 0 : std::strtoull(stat.c_str() + at + 1, nullptr, 10);
}

bool JobFolder::Open(const std::string& path) {
  fd_ = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  return fd_ >= 0;
}

JobFolder::Lock JobFolder::TakeLock() {
  lock_fd_ = openat(fd_, kLockFile, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_fd_ < 0) return Lock::kError;
  // Of the open file description: it goes when the last copy of this descriptor is closed, and no
  // child gets one over its exec.
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fcntl(lock_fd_, F_OFD_SETLK, &whole) == 0) return Lock::kMine;
  return errno == EAGAIN || errno == EACCES ? Lock::kTaken : Lock::kError;
}

bool JobFolder::HasEnded() const { return faccessat(fd_, kExitFile, F_OK, 0) == 0; }

bool JobFolder::WriteParentFile(const Options& options, std::optional<pid_t> child) const {
  std::string json = "{\"pid\":" + std::to_string(getpid()) +
                     ",\"start_time\":" + std::to_string(StartTimeOf(getpid())) +
                     ",\"boot_id\":\"" + BootId() + "\",\"daemon_id\":\"" + options.daemon_id +
                     "\",\"job_id\":\"" + options.job_id +
                     "\",\"port\":" + std::to_string(options.port);
  if (child.has_value()) json += ",\"child_pid\":" + std::to_string(*child);
  return Replace(kParentFile, json + "}\n");
}

bool JobFolder::WriteExitFile(int wait_status, bool stopped) const {
  const std::string how = WIFSIGNALED(wait_status)
                              ? "\"signal\":" + std::to_string(WTERMSIG(wait_status))
                              : "\"exit_code\":" + std::to_string(WEXITSTATUS(wait_status));
  return Replace(kExitFile, "{" + how + ",\"stopped\":" + (stopped ? "true" : "false") +
                                ",\"time\":\"" + NowUtc() + "\"}\n");
}

void JobFolder::RemoveParentFile() const { unlinkat(fd_, kParentFile, 0); }

bool JobFolder::Replace(const char* name, std::string_view content) const {
  // We hold the lock, so the name of the temporary file is ours, and an old one of a dead parent
  // too.
  const std::string temporary = std::string(name) + ".tmp";
  const int file =
      openat(fd_, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return false;
  bool done = true;
  while (done && !content.empty()) {
    const ssize_t written = write(file, content.data(), content.size());
    if (written > 0) content.remove_prefix(static_cast<size_t>(written));
    done = written > 0 || (written < 0 && errno == EINTR);
  }
  done = done && fsync(file) == 0;
  done = close(file) == 0 && done;
  done = done && renameat(fd_, temporary.c_str(), fd_, name) == 0 && fsync(fd_) == 0;
  if (!done) {
    const int error = errno;
    unlinkat(fd_, temporary.c_str(), 0);
    errno = error;
  }
  return done;
}

}  // namespace tao::process_parent
