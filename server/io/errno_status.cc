#include "server/io/errno_status.h"

#include <absl/strings/str_format.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace tao::io {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case EISDIR:
    case EEXIST:
    case ENAMETOOLONG:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

std::string AdviceFor(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return ". Free space there (df -h, quota), or choose another place";
    case EMFILE:
    case ENFILE:
      return ". Raise the limit of open files (ulimit -n)";
    case EACCES:
    case EPERM:
      return absl::StrFormat(". Give user id %d the right to it, or choose another place",
                             geteuid());
    case EROFS:
      return ". The file system is mounted read-only: choose another place";
    default:
      return "";
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view what) {
  // generic_category().message() is strerror() without its shared buffer.
  return absl::Status(
      CodeOf(error),
      absl::StrFormat("%s: %s%s", what, std::generic_category().message(error), AdviceFor(error)));
}

}  // namespace tao::io
