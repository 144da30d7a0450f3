#pragma once

// Files that must survive a crash, or must not be somebody else's.

#include <absl/status/statusor.h>

#include <sys/types.h>

#include <string>
#include <string_view>

namespace tao::io {

// Replaces `path` durably: temporary file beside it (mode), fsync, rename, fsync of the folder. On any
// error the old file stands and the temporary one is gone.
absl::Status ReplaceFile(const std::string& path, std::string_view content, mode_t mode = 0600);

// NotFound when there is none; FailedPrecondition for a symlink or a file of another uid (a folder that
// others may write to is no place to trust a name in).
absl::StatusOr<std::string> ReadOwnFile(const std::string& path, size_t max_bytes = 64 << 20);

// Creates `path` and its parents with `mode`; OK when it is there and ours.
absl::Status MakeFolder(const std::string& path, mode_t mode = 0700);

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
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void Reset();

 private:
  int fd_ = -1;
};

}  // namespace tao::io
