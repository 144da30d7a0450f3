#include "gateway/infer_body.h"

#include <absl/strings/escaping.h>

#include <utility>

#include "server/base/strings.h"

namespace tao::gateway {
namespace {

// Bytes that are encoded at once. A multiple of 3, so that there is no padding before the end.
constexpr size_t kEncodeBytes = 48 * 1024;

}  // namespace

InferBody::InferBody(std::string json) { AddText(std::move(json)); }

InferBody::InferBody(const char* json) : InferBody(std::string(json)) {}

void InferBody::AddText(std::string text) {
  if (text.empty()) return;
  size_ += text.size();
  parts_.push_back({std::move(text), false});
}

void InferBody::AddBase64(std::string bytes) {
  if (bytes.empty()) return;
  size_ += (bytes.size() + 2) / 3 * 4;
  parts_.push_back({std::move(bytes), true});
}

transport::BodyPiece InferBody::Next() {
  if (position_ == 0 && next_ > 0) parts_[next_ - 1] = {};  // its bytes were valid until now
  if (next_ == parts_.size()) return {{}, true};            // of an empty body
  Part& part = parts_[next_];
  if (!part.base64) {
    ++next_;
    return {part.bytes, next_ == parts_.size()};
  }
  const std::string_view raw = std::string_view(part.bytes).substr(position_, kEncodeBytes);
  absl::Base64Escape(base::ToAbsl(raw), &encoded_);
  position_ += raw.size();
  if (position_ == part.bytes.size()) {
    position_ = 0;
    ++next_;
  }
  return {encoded_, next_ == parts_.size()};
}

}  // namespace tao::gateway
