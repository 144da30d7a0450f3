#include "server/contract/media_url.h"

#include <algorithm>

#include "server/base/strings.h"

namespace tao::contract {
namespace {

// Of a URL what tells its kind, and is shown to people; of a data: URI also its media type with
// parameters.
constexpr size_t kHeadBytes = 300;
// Longer ones are no file name extensions.
constexpr size_t kExtensionBytes = 16;
constexpr std::string_view kData = "data:";

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// RFC 3986 section 3.1.
bool IsSchemeByte(char c) { return IsAlnum(c) || c == '+' || c == '-' || c == '.' || c == '_'; }

bool BeginsAsData(std::string_view text) {
  return base::AsciiLower(text.substr(0, kData.size())) == kData;
}

}  // namespace

size_t MediaUrl::Feed(std::string_view piece) {
  if (in_payload_) {
    if (is_base64_) payload_.Feed(piece);
    return 0;
  }
  if (kind_ == Kind::kData) return FeedData(piece);
  if (part_ == Part::kRest) return piece.size();
  if (part_ != Part::kHead) {
    FeedPath(piece);
    return piece.size();
  }
  const size_t taken = std::min(piece.size(), kHeadBytes - head_.size());
  const size_t before = head_.size();
  head_.append(piece.substr(0, taken));
  if (head_.size() < kData.size()) return piece.size();
  if (BeginsAsData(head_)) {
    kind_ = Kind::kData;
    const std::string seen = head_.substr(0, before);
    head_.clear();
    FeedData(seen);  // no comma in it: it was too short to be known
    return FeedData(piece);
  }
  if (head_.size() == kHeadBytes) {
    DecideKind();
    FeedPath(piece.substr(taken));
  }
  return piece.size();
}

// Up to the comma, and past it.
size_t MediaUrl::FeedData(std::string_view piece) {
  const size_t comma = piece.find(',');
  const std::string_view head = piece.substr(0, comma);
  head_.append(head.substr(0, kHeadBytes - head_.size()));
  if (comma == std::string_view::npos) return piece.size();
  ReadDataHead();
  in_payload_ = true;
  if (is_base64_) payload_.Feed(piece.substr(comma + 1));
  return comma + 1;
}

// RFC 2397: data:[<mediatype>][;base64],<data>
void MediaUrl::ReadDataHead() {
  std::string_view rest = std::string_view(head_).substr(kData.size());
  const size_t last = rest.rfind(';');
  is_base64_ =
      last != std::string_view::npos && base::AsciiLower(rest.substr(last + 1)) == "base64";
  media_type_ = base::AsciiLower(rest.substr(0, rest.find(';')));
}

void MediaUrl::Finish() {
  if (kind_ != Kind::kData && part_ == Part::kHead) DecideKind();
  const bool digits_only = std::all_of(extension_.begin(), extension_.end(),
                                       [](char c) { return c >= '0' && c <= '9'; });
  const bool is_one = has_dot_ && extension_.size() <= kExtensionBytes && !digits_only &&
                      std::all_of(extension_.begin(), extension_.end(), IsAlnum);
  extension_ = is_one ? base::AsciiLower(extension_) : "";
}

void MediaUrl::DecideKind() {
  if (head_.empty()) return;
  size_t end = 0;
  while (end < head_.size() && IsSchemeByte(head_[end])) ++end;
  const bool has_scheme = end > 0 && std::string_view(head_).substr(end, 3) == "://";
  if (!has_scheme) {
    kind_ = Kind::kPath;
    part_ = Part::kPath;
    FeedPath(head_);
    return;
  }
  scheme_ = base::AsciiLower(std::string_view(head_).substr(0, end + 3));
  kind_ = scheme_ == "http://" || scheme_ == "https://" ? Kind::kHttp : Kind::kScheme;
  part_ = Part::kAuthority;
  FeedPath(std::string_view(head_).substr(end + 3));
}

void MediaUrl::FeedPath(std::string_view text) {
  for (const char c : text) {
    // A path in the container is no URL: ? and # may stand in a name, but begin no extension.
    if (kind_ != Kind::kPath && (c == '?' || c == '#')) part_ = Part::kRest;
    if (part_ == Part::kRest) return;
    if (c == '/') {
      part_ = Part::kPath;
      has_dot_ = false;
      extension_.clear();
    } else if (part_ == Part::kPath && c == '.') {
      has_dot_ = true;
      extension_.clear();
    } else if (has_dot_ && extension_.size() <= kExtensionBytes) {
      extension_ += c;
    }
  }
}

}  // namespace tao::contract
