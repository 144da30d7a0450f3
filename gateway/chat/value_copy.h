#pragma once

// Copies one JSON value out of a scan with StringForm::kRaw: compact, in the order and with the
// strings and numbers of the source. Externally synchronised.

#include <absl/status/status.h>

#include <string>
#include <string_view>
#include <utility>

#include "server/base/body_sink.h"

namespace tao::chat {

class ValueCopy : public base::BodySink {
 public:
  enum class Mode {
    kCopy,
    kToolCalls,  // objects in the outermost array that have no `index` get their place as one
    kSkip,       // only find the end of the value
  };

  // The next events are one value, until done(). Longer than `max_bytes`: upstream_reset, which
  // calls the value `name`.
  void Begin(Mode mode, std::string_view name, size_t max_bytes);

  // The value is whole, or none has begun.
  bool done() const { return done_; }
  std::string Take() { return std::move(text_); }

  absl::Status OnObjectBegin() override;
  absl::Status OnObjectEnd() override;
  absl::Status OnArrayBegin() override;
  absl::Status OnArrayEnd() override;
  absl::Status OnKey(std::string_view key) override;
  absl::Status OnStringPiece(std::string_view piece, bool last) override;
  absl::Status OnNumber(std::string_view text) override;
  absl::Status OnBool(bool value) override;
  absl::Status OnNull() override;

 private:
  absl::Status Put(std::string_view text);
  absl::Status Open(std::string_view bracket);
  absl::Status Close(std::string_view bracket);
  absl::Status Scalar(std::string_view text);
  void Separate();

  Mode mode_ = Mode::kSkip;
  std::string name_;
  size_t max_bytes_ = 0;
  std::string text_;
  bool done_ = true;
  bool in_string_ = false;
  int depth_ = 0;
  int place_ = 0;           // of the tool call being read
  bool has_index_ = false;  // and whether it brought its own
};

}  // namespace tao::chat
