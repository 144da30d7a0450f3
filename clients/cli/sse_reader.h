#pragma once

// Server-sent events (WHATWG HTML, section 9.2.6), from pieces that are cut anywhere. Of an event
// only its data is of interest here. Externally synchronised.

#include <string>
#include <string_view>
#include <vector>

namespace tao::cli {

class SseReader {
 public:
  // Takes the next piece and returns the data of each event that is complete with it.
  std::vector<std::string> Add(std::string_view piece);

 private:
  void EndLine(std::vector<std::string>& events);

  std::string line_;
  std::string data_;        // of the event at hand, each line with its end
  bool after_cr_ = false;   // a LF now belongs to the line end before
  bool first_line_ = true;  // may begin with a byte order mark
};

}  // namespace tao::cli
