#pragma once

#include <absl/status/status.h>

#include <string_view>
#include <utility>
#include <vector>

#include "server/base/body_sink.h"

namespace tao::chat {

// Passes every event to several sinks, in their order; the first error ends the scan.
// Externally synchronised.
class BodyTee : public base::BodySink {
 public:
  // The sinks must outlive the tee.
  explicit BodyTee(std::vector<base::BodySink*> sinks) : sinks_(std::move(sinks)) {}

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
  std::vector<base::BodySink*> sinks_;
};

}  // namespace tao::chat
