#include "gateway/spool/kept_body.h"

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "gateway/transport/signal.h"
#include "server/base/strings.h"

namespace tao::spool {

using transport::Task;

KeptBody::~KeptBody() {
  if (fd_ >= 0) ::close(fd_);
  spool_.ReturnMemory(memory_taken_);
  spool_.ReturnFileBytes(file_bytes_taken_);
}

absl::Status KeptBody::Reserve(uint64_t bytes) {
  return bytes > spool_.config().memory_per_body ? ReserveUpTo(bytes) : absl::OkStatus();
}

void KeptBody::Trim() {
  if (file_bytes_taken_ <= written_) return;
  spool_.ReturnFileBytes(file_bytes_taken_ - written_);
  file_bytes_taken_ = written_;
}

absl::Status KeptBody::ReserveUpTo(uint64_t bytes) {
  if (bytes <= file_bytes_taken_) return absl::OkStatus();
  if (!spool_.TakeFileBytes(bytes - file_bytes_taken_)) {
    return SpoolFull(spool_.config(),
                     absl::StrFormat("all kept bodies may be %d bytes together, --spool-max-bytes",
                                     spool_.config().max_bytes));
  }
  file_bytes_taken_ = bytes;
  return absl::OkStatus();
}

Task<absl::Status> KeptBody::Append(std::string_view piece) {
  size_ += piece.size();
  const bool is_short = size_ <= spool_.config().memory_per_body;
  if (!in_file() && is_short && spool_.TakeMemory(piece.size())) {
    memory_taken_ += piece.size();
    memory_.append(piece);
    co_return absl::OkStatus();
  }
  absl::Status room = ReserveUpTo(size_);
  if (!room.ok()) co_return room;
  absl::AnyInvocable<absl::Status()> work = [this, piece] {
    if (fd_ < 0) {
      const absl::StatusOr<int> file = spool_.NewFile();
      if (!file.ok()) return SpoolFull(spool_.config(), base::ToStd(file.status().message()));
      fd_ = *file;
      absl::Status written = Write(memory_);
      if (!written.ok()) return written;
    }
    return Write(piece);
  };
  absl::Status status = co_await OnSpoolThread(std::move(work));
  memory_ = std::string();
  spool_.ReturnMemory(std::exchange(memory_taken_, 0));
  co_return status;
}

absl::Status KeptBody::Write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::pwrite(fd_, text.data(), text.size(), static_cast<off_t>(written_));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return SpoolFull(spool_.config(), std::strerror(errno));
    written_ += static_cast<uint64_t>(done);
    text.remove_prefix(static_cast<size_t>(done));
  }
  return absl::OkStatus();
}

Task<void> KeptBody::Preload(uint64_t offset, size_t count) {
  absl::AnyInvocable<absl::Status()> work = [this, offset, count] {
    // Blocks until the bytes are there. Where it fails, sendfile reads for itself.
    static_cast<void>(::readahead(fd_, static_cast<off64_t>(offset), count));
    return absl::OkStatus();
  };
  static_cast<void>(co_await OnSpoolThread(std::move(work)));
}

Task<absl::Status> KeptBody::Read(uint64_t offset, size_t count, char* room) {
  absl::AnyInvocable<absl::Status()> work = [this, offset, count, room] {
    size_t have = 0;
    while (have < count) {
      const ssize_t got =
          ::pread(fd_, room + have, count - have, static_cast<off_t>(offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        return absl::InternalError(absl::StrFormat("a kept request body cannot be read back: %s",
                                                   got < 0 ? std::strerror(errno)
                                                           : "it "
                                                             "is shorter than what was written"));
      }
      have += static_cast<size_t>(got);
    }
    return absl::OkStatus();
  };
  co_return co_await OnSpoolThread(std::move(work));
}

Task<absl::Status> KeptBody::OnSpoolThread(absl::AnyInvocable<absl::Status()> work) {
  absl::Status result;
  transport::Signal done(io_);
  spool_.Post([this, &result, &done, work = std::move(work)]() mutable {
    result = work();
    io_.Post([&done] { done.Set(); });
  });
  co_await done.Wait();
  co_return result;
}

}  // namespace tao::spool
