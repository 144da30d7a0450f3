#include "gateway/spool/spool.h"

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::spool {
namespace {

template <typename Count>
bool TakeUpTo(std::atomic<Count>& taken, Count bytes, Count most) {
  Count now = taken.load(std::memory_order_relaxed);
  do {
    if (bytes > most || now > most - bytes) return false;
  } while (!taken.compare_exchange_weak(now, now + bytes, std::memory_order_relaxed));
  return true;
}

absl::Status FolderError(const std::string& folder, std::string_view why) {
  return absl::FailedPreconditionError(
      absl::StrFormat("gateway: large request bodies cannot be kept in %s: %s. Name a folder on a "
                      "disk with --spool-dir",
                      base::Quoted(folder), why));
}

// For file systems without O_TMPFILE (NFS, some overlays).
int NewNamedFile(const std::string& folder) {
  std::string name = folder + "/tao-inference-XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd >= 0) ::unlink(name.c_str());
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Spool>> Spool::Open(const SpoolConfig& config) {
  struct statfs system = {};
  if (::statfs(config.folder.c_str(), &system) != 0) {
    return FolderError(config.folder, std::strerror(errno));
  }
  const auto type = static_cast<unsigned long>(system.f_type);
  if ((type == TMPFS_MAGIC || type == RAMFS_MAGIC) && !config.allow_tmpfs) {
    return FolderError(config.folder,
                       "it is memory (tmpfs), which the bodies would fill; if that is meant, say "
                       "--allow-tmpfs-spool");
  }
  std::unique_ptr<Spool> spool(new Spool(config));
  const absl::StatusOr<int> file = spool->NewFile();
  if (!file.ok()) return FolderError(config.folder, base::ToStd(file.status().message()));
  ::close(*file);
  return spool;
}

bool Spool::TakeFileBytes(uint64_t bytes) {
  return TakeUpTo(file_bytes_, bytes, config_.max_bytes);
}

bool Spool::TakeMemory(size_t bytes) { return TakeUpTo(memory_bytes_, bytes, config_.max_memory); }

absl::StatusOr<int> Spool::NewFile() const {
  int fd = ::open(config_.folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    fd = NewNamedFile(config_.folder);
  }
  if (fd < 0) return absl::UnavailableError(std::strerror(errno));
  return fd;
}

absl::Status SpoolFull(const SpoolConfig& config, std::string_view why) {
  return base::TokenError(
      base::ErrorToken::kSpoolFull,
      absl::StrFormat("the request's body is large and its service not known before its `model`, "
                      "and there is no room to keep it (%s: %s). Name the service by the header "
                      "X-TAO-Job-ID or the path /services/{job_id}/v1/..., then nothing is kept; "
                      "or try again later",
                      config.folder, why));
}

}  // namespace tao::spool
