#include "gateway/container_error.h"

#include <utility>

#include "gateway/chat/body_scanner.h"
#include "server/base/body_sink.h"

namespace tao::gateway {
namespace {

constexpr size_t kMaxTypeBytes = 100;
constexpr size_t kMaxMessageBytes = 1000;

// The beginning of `text`, at most `limit` bytes, without half a character.
std::string_view CutToCharacter(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  return text.substr(0, limit);
}

// Collects the strings that matter, at the top level and in its `error` object.
class ErrorSink : public base::BodySink {
 public:
  ContainerError Take() { return std::move(error_); }

  absl::Status OnObjectBegin() override {
    ++depth_;
    if (is_error_key_) in_error_ = true;
    return EndValue();
  }
  absl::Status OnObjectEnd() override {
    --depth_;
    if (depth_ == 1) in_error_ = false;
    return EndValue();
  }
  absl::Status OnArrayBegin() override {
    depth_ += kArray;
    return EndValue();
  }
  absl::Status OnArrayEnd() override {
    depth_ -= kArray;
    return EndValue();
  }
  absl::Status OnKey(std::string_view key) override {
    is_error_key_ = depth_ == 1 && key == "error";
    field_ = nullptr;
    if (depth_ != 1 && !(in_error_ && depth_ == 2)) return absl::OkStatus();
    if (key == "type" || key == "reason") Begin(error_.type, kMaxTypeBytes);
    if (key == "message") Begin(error_.message, kMaxMessageBytes);
    return absl::OkStatus();
  }
  absl::Status OnStringPiece(std::string_view piece, bool last) override {
    if (field_ != nullptr) field_->append(CutToCharacter(piece, limit_ - field_->size()));
    return last ? EndValue() : absl::OkStatus();
  }
  absl::Status OnNumber(std::string_view) override { return EndValue(); }
  absl::Status OnBool(bool) override { return EndValue(); }
  absl::Status OnNull() override { return EndValue(); }

 private:
  static constexpr int kArray = 1000;  // what stands in an array is none of these members

  void Begin(std::string& field, size_t limit) {
    field.clear();
    field_ = &field;
    limit_ = limit;
  }
  absl::Status EndValue() {
    field_ = nullptr;
    is_error_key_ = false;
    return absl::OkStatus();
  }

  ContainerError error_;
  int depth_ = 0;
  bool is_error_key_ = false;
  bool in_error_ = false;
  std::string* field_ = nullptr;
  size_t limit_ = 0;
};

}  // namespace

ContainerError ParseContainerError(std::string_view body) {
  ErrorSink sink;
  chat::BodyScanner scanner(sink);
  if (!scanner.Feed(body).ok() || !scanner.Finish().ok()) return {};
  return sink.Take();
}

bool IsFinal(const ContainerError& error) {
  return error.type == "initialization_error" || error.type == "initialization_failed" ||
         error.type == "model_load_error" || error.type == "model_load_failed";
}

bool IsLoading(const ContainerError& error) {
  return error.type == "server_initializing" || error.type == "model_loading" ||
         error.type == "model_not_ready" || error.type == "model_not_loaded";
}

}  // namespace tao::gateway
