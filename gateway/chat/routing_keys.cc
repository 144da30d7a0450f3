#include "gateway/chat/routing_keys.h"

#include <absl/strings/str_format.h>

#include "server/base/errors.h"

namespace tao::chat {
namespace {

absl::Status BadMember(std::string_view param, std::string_view problem) {
  return base::TokenError(base::ErrorToken::kBadRequest,
                          absl::StrFormat("request body: \"%s\" %s", param, problem),
                          {.param = std::string(param)});
}

absl::Status BadType(std::string_view param, std::string_view found) {
  return BadMember(param, param == "model"
                              ? absl::StrFormat("is %s; it must be a string: a job_id, a "
                                                "network_arch or a served model's name",
                                                found)
                              : absl::StrFormat("is %s; it must be true or false", found));
}

absl::Status Duplicate(std::string_view param) {
  return BadMember(param, "is given twice; send it once");
}

}  // namespace

absl::Status RoutingKeys::OnObjectBegin() {
  if (member_ == Member::kStreamOptions) in_stream_options_ = true;
  return OnContainerBegin("an object");
}

absl::Status RoutingKeys::OnArrayBegin() { return OnContainerBegin("an array"); }

absl::Status RoutingKeys::OnContainerBegin(std::string_view type) {
  if (absl::Status bad = OnOther(type); !bad.ok()) return bad;
  ++depth_;
  return absl::OkStatus();
}

absl::Status RoutingKeys::OnObjectEnd() {
  --depth_;
  if (depth_ == 1) in_stream_options_ = false;
  return absl::OkStatus();
}

absl::Status RoutingKeys::OnArrayEnd() {
  --depth_;
  return absl::OkStatus();
}

absl::Status RoutingKeys::OnKey(std::string_view key) {
  member_ = Member::kOther;
  if (depth_ == 1 && key == "model") {
    if (model_seen_) return Duplicate("model");
    model_seen_ = true;
    member_ = Member::kModel;
  } else if (depth_ == 1 && key == "stream") {
    if (stream_seen_) return Duplicate("stream");
    stream_seen_ = true;
    member_ = Member::kStream;
  } else if (depth_ == 1 && key == "stream_options") {  // the last one counts, as for backends
    include_usage_ = false;
    member_ = Member::kStreamOptions;
  } else if (depth_ == 2 && in_stream_options_ && key == "include_usage") {
    include_usage_ = false;
    member_ = Member::kIncludeUsage;
  }
  return absl::OkStatus();
}

absl::Status RoutingKeys::OnStringPiece(std::string_view piece, bool last) {
  if (member_ != Member::kModel) return OnOther("a string");
  if (model_text_.size() + piece.size() > kMaxModelBytes) {
    return BadMember("model", absl::StrFormat("is longer than %d bytes", kMaxModelBytes));
  }
  model_text_ += piece;
  if (last) {
    model_ = std::move(model_text_);
    member_ = Member::kOther;
  }
  return absl::OkStatus();
}

absl::Status RoutingKeys::OnNumber(std::string_view text) { return OnOther("a number"); }

absl::Status RoutingKeys::OnBool(bool value) {
  if (member_ == Member::kStream) stream_ = value;
  if (member_ == Member::kIncludeUsage) include_usage_ = value;
  if (member_ != Member::kStream) return OnOther("a boolean");
  member_ = Member::kOther;
  return absl::OkStatus();
}

absl::Status RoutingKeys::OnNull() {
  if (member_ == Member::kStream) {
    member_ = Member::kOther;
    return absl::OkStatus();
  }
  return OnOther("null");
}

// A value of a type that neither model nor stream may have.
absl::Status RoutingKeys::OnOther(std::string_view type) {
  if (member_ == Member::kModel) return BadType("model", type);
  if (member_ == Member::kStream) return BadType("stream", type);
  member_ = Member::kOther;
  return absl::OkStatus();
}

}  // namespace tao::chat
