#include "gateway/chat/sse_boundary.h"

#include <algorithm>
#include <cstring>

namespace tao::chat {
namespace {

constexpr std::string_view kDone = "data: [DONE]";
constexpr std::string_view kDoneTight = "data:[DONE]";  // the space is optional

}  // namespace

void SseBoundary::Feed(std::string_view bytes) {
  if (bytes.empty()) return;
  const std::string_view tail = bytes.substr(bytes.size() - std::min<size_t>(bytes.size(), 4));
  for (const char c : tail) last_ = last_ << 8 | static_cast<unsigned char>(c);
  at_boundary_ = (last_ & 0xffff) == 0x0a0a || (last_ & 0xffff) == 0x0d0d || last_ == 0x0d0a0d0a;
  if (!done_seen_) FindDone(bytes);
}

// Line by line, as the HTML standard's event stream parser cuts them (LF, CR or CRLF).
void SseBoundary::FindDone(std::string_view bytes) {
  while (!bytes.empty()) {
    if (after_cr_ && bytes.front() == '\n') bytes.remove_prefix(1);
    after_cr_ = false;
    const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    line_.append(bytes.substr(0, std::min(end, kDone.size() + 1 - line_.size())));
    if (end == bytes.size()) return;
    after_cr_ = bytes[end] == '\r';
    EndLine();
    bytes.remove_prefix(end + 1);
  }
}

void SseBoundary::EndLine() {
  if (line_ == kDone || line_ == kDoneTight) done_in_event_ = true;
  if (line_.empty()) done_seen_ = done_seen_ || done_in_event_;
  line_.clear();
}

}  // namespace tao::chat
