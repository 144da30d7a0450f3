#include "server/platforms/local_process/parent/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>

#include "server/platforms/local_process/parent/protocol.h"

namespace tao::process_parent {

LogFile::~LogFile() {
  if (fd_ >= 0) close(fd_);
}

bool LogFile::Open() {
  fd_ = openat(folder_fd_, kLogFile, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  struct stat info = {};
  if (fd_ < 0 || fstat(fd_, &info) != 0) return false;
  size_ = info.st_size;
  at_line_start_ = true;
  return true;
}

void LogFile::Append(std::string_view text) {
  while (!text.empty()) {
    const int64_t room = max_bytes_ - size_;
    if (room <= 0 && (at_line_start_ || room < -kLongestLine)) {
      Rotate();
      continue;
    }
    // All of it, or to the end of the line that fills the file.
    size_t piece = text.size();
    if (static_cast<int64_t>(piece) > room) {
      const size_t newline = text.find('\n', static_cast<size_t>(std::max<int64_t>(room - 1, 0)));
      if (newline != std::string_view::npos) piece = newline + 1;
    }
    Write(text.substr(0, piece));
    text.remove_prefix(piece);
  }
}

void LogFile::Rotate() {
  const int full = fd_;
  const bool renamed = renameat(folder_fd_, kLogFile, folder_fd_, kOlderLogFile) == 0;
  if (renamed && Open()) {
    close(full);
    return;
  }
  // Goes on in the full file, and tries again when as much has been written once more.
  fd_ = full;
  size_ = 0;
}

void LogFile::Write(std::string_view text) {
  size_ += static_cast<int64_t>(text.size());
  if (dropped_ > 0) {
    const std::string note = "[tao-process-parent: " + std::to_string(dropped_) +
                             " bytes of output are missing here: they could not be written]\n";
    if (!WriteAll(note)) {
      dropped_ += static_cast<int64_t>(text.size());
      return;
    }
    dropped_ = 0;
  }
  if (WriteAll(text)) {
    at_line_start_ = text.back() == '\n';
  } else {
    dropped_ += static_cast<int64_t>(text.size());
    at_line_start_ = true;
  }
}

bool LogFile::WriteAll(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd_, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace tao::process_parent
