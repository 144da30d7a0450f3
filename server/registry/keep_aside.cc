#include "server/registry/keep_aside.h"

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "server/io/errno_status.h"

namespace tao::registry {
namespace {

constexpr int kMostNames = 1000;

// rename(2) that fails with EEXIST. Where the file system cannot do that at once (NFS), it looks
// first: all who rename here hold the same lock.
int RenameToNewName(const std::string& from, const std::string& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL) return errno;
  struct stat info = {};
  if (lstat(to.c_str(), &info) == 0) return EEXIST;
  return rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

absl::StatusOr<std::string> KeepAside(const std::string& path, std::string_view suffix) {
  for (int n = 1; n <= kMostNames; ++n) {
    const std::string kept = n == 1 ? absl::StrFormat("%s%s", path, suffix)
                                    : absl::StrFormat("%s%s-%d", path, suffix, n);
    const int error = RenameToNewName(path, kept);
    if (error == 0) return kept;
    if (error != EEXIST) return io::ErrnoStatus(error, "keep aside " + path);
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("keep aside %s: %d broken files were kept beside it already. Find out who "
                      "writes them, and remove "
                      "them",
                      path, kMostNames));
}

}  // namespace tao::registry
