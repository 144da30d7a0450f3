#include "clients/cli/sse_reader.h"

#include <utility>

namespace tao::cli {

std::vector<std::string> SseReader::Add(std::string_view piece) {
  std::vector<std::string> events;
  while (!piece.empty()) {
    if (std::exchange(after_cr_, false) && piece[0] == '\n') {
      piece.remove_prefix(1);
      continue;
    }
    // A line can be tens of MB long (a video): whole stretches at once.
    const size_t end = piece.find_first_of("\r\n");
    line_.append(piece.substr(0, end));
    if (end == std::string_view::npos) break;
    after_cr_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    EndLine(events);
  }
  return events;
}

void SseReader::EndLine(std::vector<std::string>& events) {
  std::string_view line = line_;
  if (std::exchange(first_line_, false) && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  if (line.empty()) {
    if (!data_.empty()) {
      data_.pop_back();  // the last line's end is not data
      events.push_back(std::exchange(data_, {}));
    }
  } else if (line == "data" || line.starts_with("data:")) {
    line.remove_prefix(line == "data" ? 4 : 5);
    if (line.starts_with(' ')) line.remove_prefix(1);
    data_ += line;
    data_ += '\n';
  }
  line_.clear();
}

}  // namespace tao::cli
