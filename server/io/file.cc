#include "server/io/file.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "server/base/status.h"
#include "server/io/errno_status.h"

namespace tao::io {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteAll(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, "write " + path);
    }
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// `kind` is S_IFREG or S_IFDIR.
absl::Status CheckOurs(const struct stat& info, mode_t kind, const std::string& path) {
  if (S_ISLNK(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is a symbolic link, which is not followed: anybody who may write to its folder could "
        "have put it there. Remove it, or give the path it points to",
        path));
  }
  if ((info.st_mode & S_IFMT) != kind) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s is not a %s. Move it away, or give another path", path,
                        kind == S_IFDIR ? "folder" : "regular file"));
  }
  if (info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s belongs to user id %d, and this process runs as %d: it is neither read nor replaced. "
        "Run as that user, remove it, or give another path",
        path, info.st_uid, geteuid()));
  }
  return absl::OkStatus();
}

// What ReplaceFile is about to replace; absent is fine.
absl::Status CheckReplaceable(const std::string& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, "look at " + path);
  }
  return CheckOurs(info, S_IFREG, path);
}

// mkdir, and OK when there was one.
absl::Status MakeOneFolder(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) return SyncFolder(FolderOf(path));
  if (errno == EEXIST) return absl::OkStatus();
  return ErrnoStatus(errno, "create folder " + path);
}

}  // namespace

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = other.Release();
  }
  return *this;
}

void UniqueFd::Reset() {
  if (fd_ >= 0) close(fd_);  // not retried on EINTR: Linux has freed the number by then
  fd_ = -1;
}

absl::Status SyncFolder(const std::string& folder) {
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open folder " + folder);
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync folder " + folder);
  return absl::OkStatus();
}

absl::Status ReplaceFile(const std::string& path, std::string_view content, mode_t mode) {
  RETURN_IF_ERROR(CheckReplaceable(path));
  std::string temporary = path + std::string(kTemporaryInfix) + "XXXXXX";
  const UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));  // O_EXCL, 0600
  if (!fd.valid()) return ErrnoStatus(errno, "create a temporary file beside " + path);
  absl::Cleanup remove_temporary = [&temporary] { unlink(temporary.c_str()); };

  RETURN_IF_ERROR(WriteAll(fd.get(), content, temporary));
  if (fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, "set the mode of " + temporary);
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync " + temporary);
  if (rename(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, "replace " + path);
  std::move(remove_temporary).Cancel();
  return SyncFolder(FolderOf(path));
}

absl::StatusOr<std::string> ReadOwnFile(const std::string& path, size_t max_bytes) {
  // O_NONBLOCK: a FIFO that somebody put there must not hang us.
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info = {};
  if (!fd.valid()) {
    const int error = errno;
    // Says what it is where open() only says ELOOP, ENXIO or EACCES.
    if (error != ENOENT && lstat(path.c_str(), &info) == 0) {
      RETURN_IF_ERROR(CheckOurs(info, S_IFREG, path));
    }
    return ErrnoStatus(error, "open " + path);
  }
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "look at " + path);
  RETURN_IF_ERROR(CheckOurs(info, S_IFREG, path));

  std::string content;
  while (content.size() <= max_bytes) {
    const size_t have = content.size();
    // One byte more than st_size, so that a file that does not grow is read with two calls.
    const size_t left = static_cast<size_t>(info.st_size) >= have ? info.st_size - have + 1 : 4096;
    content.resize(std::min(have + left, max_bytes + 1));
    const ssize_t got = read(fd.get(), content.data() + have, content.size() - have);
    const int error = errno;
    content.resize(have + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) return content;
    if (got < 0 && error != EINTR) return ErrnoStatus(error, "read " + path);
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("%s is larger than %d bytes, which no file of this kind is. Move it away if "
                      "it is not what it should be",
                      path, max_bytes));
}

absl::Status MakeFolder(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string parent = path.substr(0, slash);
    if (access(parent.c_str(), F_OK) == 0) continue;  // e.g. a read-only parent: mkdir gives EROFS
    RETURN_IF_ERROR(MakeOneFolder(parent, mode));
  }
  std::string folder = path;
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();  // lstat("link/") follows
  RETURN_IF_ERROR(MakeOneFolder(folder, mode));
  struct stat info = {};
  if (lstat(folder.c_str(), &info) != 0) return ErrnoStatus(errno, "look at " + folder);
  return CheckOurs(info, S_IFDIR, folder);
}

}  // namespace tao::io
