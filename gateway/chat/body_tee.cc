#include "gateway/chat/body_tee.h"

#include "server/base/status.h"

namespace tao::chat {

absl::Status BodyTee::OnObjectBegin() {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnObjectBegin());
  return absl::OkStatus();
}

absl::Status BodyTee::OnObjectEnd() {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnObjectEnd());
  return absl::OkStatus();
}

absl::Status BodyTee::OnArrayBegin() {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnArrayBegin());
  return absl::OkStatus();
}

absl::Status BodyTee::OnArrayEnd() {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnArrayEnd());
  return absl::OkStatus();
}

absl::Status BodyTee::OnKey(std::string_view key) {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnKey(key));
  return absl::OkStatus();
}

absl::Status BodyTee::OnStringPiece(std::string_view piece, bool last) {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnStringPiece(piece, last));
  return absl::OkStatus();
}

absl::Status BodyTee::OnNumber(std::string_view text) {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnNumber(text));
  return absl::OkStatus();
}

absl::Status BodyTee::OnBool(bool value) {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnBool(value));
  return absl::OkStatus();
}

absl::Status BodyTee::OnNull() {
  for (base::BodySink* sink : sinks_) RETURN_IF_ERROR(sink->OnNull());
  return absl::OkStatus();
}

}  // namespace tao::chat
