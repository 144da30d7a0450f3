#include "gateway/chat/sse_boundary.h"

#include <algorithm>
#include <cstring>

namespace tao::chat {
namespace {

constexpr std::string_view kData = "data:";
constexpr std::string_view kDone = "data: [DONE]";
constexpr std::string_view kDoneTight = "data:[DONE]";  // the space is optional

void SkipSpaces(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
}

// Whether data begins as `{"error":` with something other than null. Of an object whose other
// members come first nobody would know without parsing it; servers write this one alone.
bool IsError(std::string_view data) {
  constexpr std::string_view kName = "\"error\"";
  SkipSpaces(data);
  if (!data.starts_with('{')) return false;
  data.remove_prefix(1);
  SkipSpaces(data);
  if (!data.starts_with(kName)) return false;
  data.remove_prefix(kName.size());
  SkipSpaces(data);
  if (!data.starts_with(':')) return false;
  data.remove_prefix(1);
  SkipSpaces(data);
  return !data.empty() && data.front() != 'n';
}

}  // namespace

void SseBoundary::Feed(std::string_view bytes) {
  if (bytes.empty()) return;
  const std::string_view tail = bytes.substr(bytes.size() - std::min<size_t>(bytes.size(), 4));
  for (const char c : tail) last_ = last_ << 8 | static_cast<unsigned char>(c);
  at_boundary_ = (last_ & 0xffff) == 0x0a0a || (last_ & 0xffff) == 0x0d0d || last_ == 0x0d0a0d0a;
  if (!done_seen_) FollowLines(bytes);
}

// Line by line, as the HTML standard's event stream parser cuts them (LF, CR or CRLF). Each of the
// two is looked for by itself, and anew only once it was passed: that is memory's speed, where
// find_first_of looks at byte after byte.
void SseBoundary::FollowLines(std::string_view bytes) {
  size_t at = 0;
  size_t lf = bytes.find('\n');
  size_t cr = bytes.find('\r');
  while (at < bytes.size() && !done_seen_) {
    if (after_cr_ && bytes[at] == '\n') ++at;
    after_cr_ = false;
    if (lf < at) lf = bytes.find('\n', at);
    if (cr < at) cr = bytes.find('\r', at);
    const size_t end = std::min({lf, cr, bytes.size()});
    const size_t kept = std::min(end - at, kLineBytes - line_size_);
    std::memcpy(line_.data() + line_size_, bytes.data() + at, kept);
    line_size_ += static_cast<uint8_t>(kept);
    if (end == bytes.size()) return;
    after_cr_ = bytes[end] == '\r';
    EndLine();
    at = end + 1;
  }
}

void SseBoundary::EndLine() {
  const std::string_view line(line_.data(), line_size_);
  line_size_ = 0;
  if (line.empty()) {
    if (data_in_event_) ++events_;
    error_seen_ = error_seen_ || (data_in_event_ && (error_in_event_ || named_error_));
    done_seen_ = done_seen_ || done_in_event_;
    data_in_event_ = error_in_event_ = named_error_ = false;
  } else if (line == kDone || line == kDoneTight) {
    done_in_event_ = true;
  } else if (line.starts_with(kData)) {
    if (!data_in_event_) error_in_event_ = IsError(line.substr(kData.size()));
    data_in_event_ = true;
  } else if (line == "event: error" || line == "event:error") {
    named_error_ = true;
  }
}

}  // namespace tao::chat
