#pragma once

// The registry file on disk: read, and changed together with other tools and other daemons. The
// file lies in a folder that everybody may write to (/tmp): a symlink, or a file of another user,
// is refused, for the file and for its lock; both are first opened without O_CREAT, which the
// kernel refuses for an existing file in such a folder (fs.protected_regular).

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <optional>
#include <string>

#include "server/io/file.h"
#include "server/registry/registry_file_codec.h"

namespace tao::registry {

// Thread-safe, by having no state but the file's; writers exclude each other through the lock.
class RegistryFile {
 public:
  // How long Change waits for another writer by default: each holds the lock for a few
  // milliseconds.
  static constexpr absl::Duration kLockTimeout = absl::Seconds(5);

  explicit RegistryFile(std::string path, absl::Duration lock_timeout = kLockTimeout)
      : path_(std::move(path)), lock_timeout_(lock_timeout) {}
  const std::string& path() const { return path_; }

  struct Reading {
    FileContent content;
    bool missing = false;  // no file, or not a byte in it (a tool that truncates leaves that)
  };
  // The file as it is now; needs no lock, since writers rename. InvalidArgument: broken.
  // FailedPrecondition: a symlink, another user's, no regular file.
  absl::StatusOr<Reading> Read() const;

  // Decides what the file should hold, given what it holds; nullopt: it is right as it is. Called
  // under the lock, again when another tool wrote in between.
  using Decide = std::function<std::optional<FileContent>(const Reading&)>;
  // Takes the lock, reads, asks `decide`, writes a temporary file, reads again just before the
  // rename (and starts over when the file has changed), renames, fsyncs the folder. Mode 0600. A
  // broken file is kept aside as PATH.broken-TIME, logged, and read as missing. Blocks for the disk
  // and for the lock. FailedPrecondition as Read; Unavailable: the lock is held for too long;
  // Aborted: the file changed at each of several tries.
  absl::Status Change(const Decide& decide) const;

 private:
  absl::StatusOr<io::UniqueFd> TakeLock() const;
  absl::StatusOr<std::optional<std::string>> ReadText() const;
  absl::StatusOr<Reading> ToReading(const std::optional<std::string>& text) const;
  absl::Status KeepBrokenAside(const absl::Status& why) const;
  absl::Status ChangeLocked(const Decide& decide) const;
  absl::Status WriteTemporary(const std::string& content) const;

  // One name is enough: only the holder of the lock writes it. What a killed writer left is written
  // over.
  std::string TemporaryPath() const { return path_ + std::string(io::kTemporaryInfix) + "tao"; }

  const std::string path_;
  const absl::Duration lock_timeout_;
};

}  // namespace tao::registry
