#pragma once

// Files that must survive a crash, or must not be somebody else's.

#include <absl/status/statusor.h>
#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>

namespace tao::io {

// Replaces `path` durably: temporary file beside it (mode), fsync, rename, fsync of the folder. On
// any error before the rename the old file stands and the temporary one is gone. FailedPrecondition
// when `path` is a symlink, not a regular file, or another user's. Two writers of one path need a
// lock of their own.
absl::Status ReplaceFile(const std::string& path, std::string_view content, mode_t mode = 0600);

// A writer that was killed leaves PATH + kTemporaryInfix + six characters. Whoever lists a folder
// skips such names, and may remove them when nobody else writes there.
inline constexpr std::string_view kTemporaryInfix = ".tmp-";

// NotFound when there is none; FailedPrecondition for a symlink, a file of another uid (a folder
// that others may write to is no place to trust a name in), what is no regular file, or is larger
// than `max_bytes`.
absl::StatusOr<std::string> ReadOwnFile(const std::string& path,
                                        size_t max_bytes = size_t{64} << 20);

// Creates `path` and its missing parents durably, with `mode`; OK when it is there, ours and no
// symlink (the mode it then has is left). FailedPrecondition otherwise.
absl::Status MakeFolder(const std::string& path, mode_t mode = 0700);

// Makes the entries of `folder` durable: what was created, renamed or removed in it.
absl::Status SyncFolder(const std::string& folder);

// An open file descriptor, closed by its owner.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

}  // namespace tao::io
