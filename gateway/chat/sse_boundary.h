#pragma once

// Follows a relayed event stream to know where an event of our own may be put in, and whether the
// stream has said that it is complete. Looks at bytes only; never holds or changes them. Externally
// synchronised.

#include <cstdint>
#include <string>
#include <string_view>

namespace tao::chat {

class SseBoundary {
 public:
  // The next bytes that were sent to the client, split anywhere.
  void Feed(std::string_view bytes);

  // Nothing has been sent yet, or the last bytes are \n\n, \r\n\r\n or \r\r. The mixed blank line
  // \n\r\n ends an event too, but Python's client does not see it before the next one, so it does
  // not count.
  bool at_boundary() const { return at_boundary_; }

  // A whole `data: [DONE]` event has passed: its blank line too, for only then has the client seen
  // it. What follows changes nothing.
  bool done_seen() const { return done_seen_; }

 private:
  void FindDone(std::string_view bytes);
  void EndLine();

  uint32_t last_ = 0;  // the last four bytes, newest lowest
  bool at_boundary_ = true;
  bool after_cr_ = false;  // a \n now belongs to the line end before it
  std::string line_;       // the beginning of the present line, as much as telling [DONE] needs
  bool done_in_event_ = false;
  bool done_seen_ = false;
};

}  // namespace tao::chat
