#pragma once

// Temporary files for request bodies that must be kept until their service is known, and the
// threads that touch these files: a disk that stalls must stop no worker. Files have no name, so
// nothing is left behind, however the process ends.
//
// Thread-safe.

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "server/base/work_pool.h"

namespace tao::spool {

struct SpoolConfig {
  // Where the files are. On a disk: on a tmpfs they would be memory again, so such a folder is
  // refused unless allow_tmpfs.
  std::string folder = "/var/tmp";
  bool allow_tmpfs = false;
  // Of all files together, reserved by Content-Length before a body is read. Beyond: spool_full.
  uint64_t max_bytes = uint64_t{64} << 30;
  // A body's beginning stays in memory up to this size, and goes to a file beyond.
  size_t memory_per_body = size_t{1} << 20;
  // Of all such beginnings together. Beyond, bodies go to a file at once.
  size_t max_memory = size_t{256} << 20;
  // Threads that write and read the files.
  int threads = 2;
};

class Spool {
 public:
  // FailedPrecondition: the folder cannot be used, why, and what to do.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(const SpoolConfig& config);

  const SpoolConfig& config() const { return config_; }

  // Bytes of files. False: there is no room for so many more.
  [[nodiscard]] bool TakeFileBytes(uint64_t bytes);
  void ReturnFileBytes(uint64_t bytes) { file_bytes_ -= bytes; }
  uint64_t file_bytes() const { return file_bytes_; }
  // Bytes of memory.
  [[nodiscard]] bool TakeMemory(size_t bytes);
  void ReturnMemory(size_t bytes) { memory_bytes_ -= bytes; }
  size_t memory_bytes() const { return memory_bytes_; }

  // Blocks: on a thread of the spool only. A new, empty file without a name; the caller closes it.
  absl::StatusOr<int> NewFile() const;
  // Runs `work` on such a thread.
  void Post(base::WorkPool::Task work) { threads_.Post(std::move(work)); }

 private:
  explicit Spool(const SpoolConfig& config) : config_(config), threads_(config.threads, SIZE_MAX) {}

  const SpoolConfig config_;
  std::atomic<uint64_t> file_bytes_ = 0;
  std::atomic<size_t> memory_bytes_ = 0;
  base::WorkPool threads_;
};

// spool_full, about a body for which there is no room. `why`: the system's word, or ours.
absl::Status SpoolFull(const SpoolConfig& config, std::string_view why);

}  // namespace tao::spool
