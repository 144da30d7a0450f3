#pragma once

// Where the access log's lines go when they have a file of their own (--access-log). Workers
// collect lines and hand them over about once a second; a thread writes them. A disk that is full
// or too slow loses lines, and they are counted; it never stops a worker.

#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "gateway/transport/deadline_wheel.h"
#include "server/base/work_pool.h"

namespace tao::gateway {

// Thread-safe.
class AccessLogFile {
 public:
  // `path`: a file, appended to and made when it is missing, or "-" for stderr.
  // FailedPrecondition: it cannot be opened, and why.
  static absl::StatusOr<std::unique_ptr<AccessLogFile>> Open(const std::string& path);
  // Writes what was handed over.
  ~AccessLogFile();
  AccessLogFile(const AccessLogFile&) = delete;
  AccessLogFile& operator=(const AccessLogFile&) = delete;

  // Whole lines. Does not block.
  void Append(std::string lines);
  // Opens the path anew, for lines that are handed over from here on: what rotates logs has given
  // the file another name. If it cannot be opened the old one is kept, and the log says so. stderr
  // stays. Does not block.
  void Reopen();
  uint64_t lost_lines() const { return lost_lines_.load(std::memory_order_relaxed); }

 private:
  AccessLogFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  void Write(const std::string& lines);
  void OpenAnew();

  const std::string path_;
  // The writer's thread alone.
  int fd_;
  bool in_line_ = false;  // the last write broke off within a line

  std::atomic<size_t> waiting_bytes_ = 0;
  std::atomic<uint64_t> lost_lines_ = 0;
  base::WorkPool writer_{1, SIZE_MAX};  // the last: it ends first
};

// One worker's lines on their way there. Worker thread only; Flush before the worker ends.
class AccessLogBuffer {
 public:
  // `file` may be null: then nothing must be added. It outlives the buffer.
  AccessLogBuffer(AccessLogFile* file, transport::DeadlineWheel& wheel);

  bool wanted() const { return file_ != nullptr; }
  // Where a line is appended, with its line end; Added comes next.
  std::string& text() { return text_; }
  void Added();
  void Flush();

 private:
  AccessLogFile* const file_;
  std::string text_;
  bool armed_ = false;  // flush_ is
  transport::Deadline flush_;
};

}  // namespace tao::gateway
