#include "server/registry/registry_file.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/io/errno_status.h"
#include "server/registry/keep_aside.h"

namespace tao::registry {
namespace {

constexpr int kMostTries = 16;
constexpr absl::Duration kLockPoll = absl::Milliseconds(5);

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Opens what is there, or makes it; never follows a symlink.
absl::StatusOr<io::UniqueFd> OpenOrCreate(const std::string& path) {
  constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  int error = 0;
  for (int i = 0; i < kMostTries; ++i) {  // another process may create or remove it in between
    io::UniqueFd fd(open(path.c_str(), kFlags));
    if (fd.valid()) return fd;
    error = errno;
    if (error != ENOENT) break;
    fd = io::UniqueFd(open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0600));
    if (fd.valid()) return fd;
    error = errno;
    if (error != EEXIST) break;
  }
  if (error == ELOOP) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s is a symbolic link, which is not followed: anybody who may write to "
                        "its folder could have put "
                        "it there. Remove it, or give another --registry",
                        path));
  }
  return io::ErrnoStatus(error, "open " + path);
}

// Whether `fd` is still what `path` names, and ours. A cleaner of /tmp may have removed the lock
// file: two processes that lock different files exclude nobody.
absl::StatusOr<bool> IsStillThere(int fd, const std::string& path) {
  struct stat opened = {};
  if (fstat(fd, &opened) != 0) return io::ErrnoStatus(errno, "look at " + path);
  if (!S_ISREG(opened.st_mode) || opened.st_uid != geteuid()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s is no regular file, or belongs to another user (user id %d, and this "
                        "process runs as %d). "
                        "Remove it, or give another --registry",
                        path, opened.st_uid, geteuid()));
  }
  struct stat named = {};
  if (lstat(path.c_str(), &named) != 0) return false;
  return named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

absl::Status WriteAll(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return io::ErrnoStatus(errno, "write " + path);
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<io::UniqueFd> RegistryFile::TakeLock() const {
  const std::string path = path_ + ".lock";
  const absl::Time give_up = absl::Now() + lock_timeout_;
  while (true) {
    ASSIGN_OR_RETURN(io::UniqueFd fd, OpenOrCreate(path));
    // There is no flock with a time-out, and a signal to end a blocking one would be the process's.
    while (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return io::ErrnoStatus(errno, "lock " + path);
      if (absl::Now() >= give_up) {
        return absl::UnavailableError(absl::StrFormat(
            "lock %s: another process holds it for more than %s. `fuser %s` names it", path,
            absl::FormatDuration(lock_timeout_), path));
      }
      absl::SleepFor(kLockPoll);
    }
    ASSIGN_OR_RETURN(const bool still_there, IsStillThere(fd.get(), path));
    if (still_there) return fd;
  }
}

absl::StatusOr<std::optional<std::string>> RegistryFile::ReadText() const {
  absl::StatusOr<std::string> text = io::ReadOwnFile(path_);
  if (absl::IsNotFound(text.status())) return std::optional<std::string>();
  if (!text.ok()) return text.status();
  return std::optional<std::string>(*std::move(text));
}

absl::StatusOr<RegistryFile::Reading> RegistryFile::ToReading(
    const std::optional<std::string>& text) const {
  if (!text.has_value() || IsBlank(*text)) return Reading{.content = {}, .missing = true};
  absl::StatusOr<FileContent> content = ParseFileContent(*text);
  if (content.ok()) return Reading{.content = *std::move(content), .missing = false};
  return absl::InvalidArgumentError(
      absl::StrFormat("registry file %s is broken: %s", path_, content.status().message()));
}

absl::StatusOr<RegistryFile::Reading> RegistryFile::Read() const {
  ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadText());
  return ToReading(text);
}

absl::Status RegistryFile::KeepBrokenAside(const absl::Status& why) const {
  const std::string time =
      absl::FormatTime("%Y%m%dT%H%M%SZ", base::RealClock().Now(), absl::UTCTimeZone());
  ASSIGN_OR_RETURN(const std::string kept, KeepAside(path_, ".broken-" + time));
  base::Log(base::LogLevel::kError, "registry",
            "the registry file was broken; it is kept aside, and made anew with our own services",
            {{"kept_as", kept}, {"error", std::string(why.message())}});
  return absl::OkStatus();
}

absl::Status RegistryFile::WriteTemporary(const std::string& content) const {
  const std::string path = TemporaryPath();
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return io::ErrnoStatus(errno, "remove " + path);
  const io::UniqueFd fd(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return io::ErrnoStatus(errno, "create " + path);
  RETURN_IF_ERROR(WriteAll(fd.get(), content, path));
  if (fchmod(fd.get(), 0600) != 0) return io::ErrnoStatus(errno, "set the mode of " + path);
  if (fsync(fd.get()) != 0) return io::ErrnoStatus(errno, "fsync " + path);
  return absl::OkStatus();
}

absl::Status RegistryFile::Change(const Decide& decide) const {
  ASSIGN_OR_RETURN(const io::UniqueFd lock, TakeLock());
  const absl::Status changed = ChangeLocked(decide);
  unlink(TemporaryPath().c_str());  // of a try that was not renamed; else there is none
  return changed;
}

absl::Status RegistryFile::ChangeLocked(const Decide& decide) const {
  for (int i = 0; i < kMostTries; ++i) {
    ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadText());
    const absl::StatusOr<Reading> reading = ToReading(text);
    if (!reading.ok()) {
      ASSIGN_OR_RETURN(const std::optional<std::string> same, ReadText());
      if (same == text) RETURN_IF_ERROR(KeepBrokenAside(reading.status()));
      continue;
    }
    const std::optional<FileContent> wanted = decide(*reading);
    if (!wanted.has_value()) return absl::OkStatus();
    RETURN_IF_ERROR(WriteTemporary(PrintFileContent(*wanted)));
    // Tools without our lock: what they wrote since must not be lost.
    ASSIGN_OR_RETURN(const std::optional<std::string> text_now, ReadText());
    if (text_now != text) continue;
    if (rename(TemporaryPath().c_str(), path_.c_str()) != 0) {
      return io::ErrnoStatus(errno, "replace " + path_);
    }
    return io::SyncFolder(FolderOf(path_));
  }
  return absl::AbortedError(absl::StrFormat(
      "registry file %s was changed by another tool at each of %d tries to write it", path_,
      kMostTries));
}

}  // namespace tao::registry
