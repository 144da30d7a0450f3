#pragma once

// Follows a relayed event stream to know where an event of our own may be put in, whether the
// stream has said that it is complete, or that it failed, and how many events it had. Looks at the
// beginnings of lines only; never holds or changes what passes. Externally synchronised.

#include <array>
#include <cstddef>
#include <cstdint>
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

  // Events with data that have passed whole, up to [DONE], which is none.
  uint64_t events() const { return events_; }
  // One of them was an error: `data: {"error": ...}` (not null), as vLLM and OpenAI send it, or
  // `event: error`.
  bool error_seen() const { return error_seen_; }

 private:
  // What must be known of a line to tell what it is.
  static constexpr size_t kLineBytes = 32;

  void FollowLines(std::string_view bytes);
  void EndLine();

  uint32_t last_ = 0;  // the last four bytes, newest lowest
  bool at_boundary_ = true;
  bool after_cr_ = false;  // a \n now belongs to the line end before it
  bool done_in_event_ = false;
  bool data_in_event_ = false;
  bool error_in_event_ = false;
  bool named_error_ = false;  // the event is `event: error`
  bool done_seen_ = false;
  bool error_seen_ = false;
  uint8_t line_size_ = 0;
  std::array<char, kLineBytes> line_;  // the beginning of the present line
  uint64_t events_ = 0;
};

}  // namespace tao::chat
