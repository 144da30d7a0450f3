#pragma once

// What was read of one request's body before its service was known: in memory while it is short,
// in a file of the Spool from then on.
//
// Worker thread only. The body outlives the tasks that it returns.

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/spool/spool.h"
#include "gateway/transport/asio.h"

namespace tao::spool {

class KeptBody {
 public:
  // Both outlive the body.
  KeptBody(Spool& spool, transport::EventLoop& io) : spool_(spool), io_(io) {}
  // Gives back all that it took.
  ~KeptBody();
  KeptBody(const KeptBody&) = delete;
  KeptBody& operator=(const KeptBody&) = delete;

  // So much will come: makes sure, before any of it is read, that it could be kept. spool_full.
  absl::Status Reserve(uint64_t bytes);
  // No more will come: gives back what was reserved in vain.
  void Trim();

  // Keeps a copy of `piece`. spool_full, also when the disk is.
  transport::Task<absl::Status> Append(std::string_view piece);

  uint64_t size() const { return size_; }
  // All of it, unless in_file.
  std::string_view memory() const { return memory_; }
  bool in_file() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // The bytes [offset, offset + count) of the file are brought into the page cache, so that
  // sendfile does not wait for a disk.
  transport::Task<void> Preload(uint64_t offset, size_t count);
  // Reads them; all `count` are in `room` if it is OK.
  transport::Task<absl::Status> Read(uint64_t offset, size_t count, char* room);

 private:
  transport::Task<absl::Status> OnSpoolThread(absl::AnyInvocable<absl::Status()> work);
  absl::Status Write(std::string_view text);
  absl::Status ReserveUpTo(uint64_t bytes);

  Spool& spool_;
  transport::EventLoop& io_;
  std::string memory_;
  size_t memory_taken_ = 0;
  uint64_t file_bytes_taken_ = 0;
  uint64_t size_ = 0;
  int fd_ = -1;
  uint64_t written_ = 0;  // to the file
};

}  // namespace tao::spool
