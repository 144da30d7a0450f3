#include "gateway/access_log_file.h"

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "server/base/log.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

// What may wait for the disk. Beyond, lines are lost.
constexpr size_t kMostWaitingBytes = size_t{16} << 20;
// A worker hands its lines over when there are so many, or after a second.
constexpr size_t kFlushBytes = 64 * 1024;
constexpr absl::Duration kFlushInterval = absl::Seconds(1);
constexpr std::string_view kStderr = "-";  // as a path
// For a reader of stderr that is not ready.
constexpr int kPatienceMs = 1000;

uint64_t LinesIn(std::string_view text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

// -1: errno says why.
int OpenForAppending(const std::string& path) {
  if (path == kStderr) return ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessLogFile>> AccessLogFile::Open(const std::string& path) {
  const int fd = OpenForAppending(path);
  if (fd < 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("access log %s: cannot be opened: %s; name a file that can be written with "
                        "--access-log, or - for stderr",
                        base::Quoted(path), std::strerror(errno)));
  }
  return std::unique_ptr<AccessLogFile>(new AccessLogFile(path, fd));
}

AccessLogFile::~AccessLogFile() {
  // Behind everything that waits, so that it is the last to use the file.
  writer_.Post([this] { ::close(fd_); });
}

void AccessLogFile::Reopen() {
  // Behind everything that waits: it belongs to the file that was.
  if (path_ != kStderr) writer_.Post([this] { OpenAnew(); });
}

// On the writer's thread.
void AccessLogFile::OpenAnew() {
  const int fd = OpenForAppending(path_);
  if (fd < 0) {
    base::Log(base::LogLevel::kError, "gateway",
              "the access log cannot be opened anew; its lines still go to the file that it was",
              {{"file", path_}, {"error", std::strerror(errno)}});
    return;
  }
  ::close(std::exchange(fd_, fd));
  in_line_ = false;
  base::Log(base::LogLevel::kInfo, "gateway", "the access log was opened anew", {{"file", path_}});
}

void AccessLogFile::Append(std::string lines) {
  const size_t size = lines.size();
  if (waiting_bytes_.fetch_add(size, std::memory_order_relaxed) + size > kMostWaitingBytes) {
    waiting_bytes_.fetch_sub(size, std::memory_order_relaxed);
    lost_lines_.fetch_add(LinesIn(lines), std::memory_order_relaxed);
    return;
  }
  writer_.Post([this, lines = std::move(lines)] {
    Write(lines);
    waiting_bytes_.fetch_sub(lines.size(), std::memory_order_relaxed);
  });
}

// On the writer's thread.
void AccessLogFile::Write(const std::string& lines) {
  const std::string whole = std::exchange(in_line_, false) ? "\n" + lines : std::string();
  std::string_view left = whole.empty() ? std::string_view(lines) : std::string_view(whole);
  const size_t size = left.size();
  while (!left.empty()) {
    const ssize_t written = ::write(fd_, left.data(), left.size());
    if (written > 0) {
      left.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    if (written < 0 && errno == EINTR) continue;
    pollfd ready = {fd_, POLLOUT, 0};
    if (written < 0 && errno == EAGAIN && ::poll(&ready, 1, kPatienceMs) > 0) continue;
    in_line_ = left.size() < size;
    lost_lines_.fetch_add(LinesIn(left), std::memory_order_relaxed);
    return;
  }
}

AccessLogBuffer::AccessLogBuffer(AccessLogFile* file, transport::DeadlineWheel& wheel)
    : file_(file), flush_(wheel, [this] { Flush(); }) {}

void AccessLogBuffer::Added() {
  if (text_.size() >= kFlushBytes) return Flush();
  if (!armed_) {
    armed_ = true;
    flush_.Arm(transport::DeadlineWheel::After(kFlushInterval));
  }
}

void AccessLogBuffer::Flush() {
  armed_ = false;
  flush_.Disarm();
  if (!text_.empty()) file_->Append(std::exchange(text_, {}));
}

}  // namespace tao::gateway
