#pragma once

// output.log: appended to, and exchanged for a new one between two lines when it is full. What was
// full becomes output.log.1, and the one before that goes. Single thread.

#include <cstdint>
#include <string_view>

namespace tao::process_parent {

class LogFile {
 public:
  // `folder_fd` must outlive it.
  LogFile(int folder_fd, int64_t max_bytes) : folder_fd_(folder_fd), max_bytes_(max_bytes) {}
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
  ~LogFile();

  // Creates the file, or goes on at its end. False, with errno, when it cannot.
  bool Open();

  // Never fails, because the service must not stop for a full disk: what cannot be written is
  // dropped, and the log says how much when it can be written again.
  void Append(std::string_view text);

 private:
  // A line longer than this beyond the limit is cut in two.
  static constexpr int64_t kLongestLine = int64_t{1} << 20;

  void Rotate();
  void Write(std::string_view text);
  bool WriteAll(std::string_view text);

  const int folder_fd_;
  const int64_t max_bytes_;
  int fd_ = -1;
  int64_t size_ = 0;
  bool at_line_start_ = true;
  int64_t dropped_ = 0;  // bytes, since the last that was written
};

}  // namespace tao::process_parent
