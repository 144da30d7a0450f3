#include "gateway/chat/value_copy.h"

#include <absl/strings/str_format.h>

#include "gateway/chat/json_writer.h"
#include "server/base/errors.h"

namespace tao::chat {

void ValueCopy::Begin(Mode mode, std::string_view name, size_t max_bytes) {
  mode_ = mode;
  name_ = name;
  max_bytes_ = max_bytes;
  text_.clear();
  done_ = false;
  place_ = 0;
}

absl::Status ValueCopy::OnObjectBegin() {
  if (depth_ == 1) has_index_ = false;
  return Open("{");
}

absl::Status ValueCopy::OnObjectEnd() {
  if (mode_ == Mode::kToolCalls && depth_ == 2 && text_.front() == '[' && !has_index_) {
    const bool first = text_.back() == '{';
    if (absl::Status bad = Put(absl::StrFormat("%s\"index\":%d", first ? "" : ",", place_));
        !bad.ok()) {
      return bad;
    }
  }
  if (depth_ == 2) ++place_;
  return Close("}");
}

absl::Status ValueCopy::OnArrayBegin() { return Open("["); }
absl::Status ValueCopy::OnArrayEnd() { return Close("]"); }

absl::Status ValueCopy::OnKey(std::string_view key) {
  if (mode_ == Mode::kSkip) return absl::OkStatus();
  if (depth_ == 2 && key == "index") has_index_ = true;
  Separate();
  AppendJsonString(text_, key);
  return Put(":");
}

absl::Status ValueCopy::OnStringPiece(std::string_view piece, bool last) {
  if (!in_string_) {
    Separate();
    if (absl::Status bad = Put("\""); !bad.ok()) return bad;
  }
  in_string_ = !last;
  if (absl::Status bad = Put(piece); !bad.ok() || !last) return bad;
  done_ = depth_ == 0;
  return Put("\"");
}

absl::Status ValueCopy::OnNumber(std::string_view text) { return Scalar(text); }
absl::Status ValueCopy::OnBool(bool value) { return Scalar(value ? "true" : "false"); }
absl::Status ValueCopy::OnNull() { return Scalar("null"); }

absl::Status ValueCopy::Open(std::string_view bracket) {
  Separate();
  ++depth_;
  return Put(bracket);
}

absl::Status ValueCopy::Close(std::string_view bracket) {
  done_ = --depth_ == 0;
  return Put(bracket);
}

absl::Status ValueCopy::Scalar(std::string_view text) {
  Separate();
  done_ = depth_ == 0;
  return Put(text);
}

// A comma, unless the text ends where an item may stand: it never ends inside a string here.
void ValueCopy::Separate() {
  if (mode_ == Mode::kSkip || text_.empty()) return;
  const char last = text_.back();
  if (last != '{' && last != '[' && last != ':') text_ += ',';
}

absl::Status ValueCopy::Put(std::string_view text) {
  if (mode_ == Mode::kSkip) return absl::OkStatus();
  if (text_.size() + text.size() > max_bytes_) {
    return base::TokenError(
        base::ErrorToken::kUpstreamReset,
        absl::StrFormat("the service's answer has a \"%s\" of more than %d bytes, which cannot be "
                        "sent as one event; ask again without \"stream\": true",
                        name_, max_bytes_));
  }
  text_ += text;
  return absl::OkStatus();
}

}  // namespace tao::chat
