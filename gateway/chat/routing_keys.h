#pragma once

// What routing must know of a chat completion's body: the top-level `model` and `stream`, in
// whatever order and spelling they stand ("mod\u0065l" is model; a nested "model" and "Model" are
// not). A body that says either twice is refused: backends take the last of two, and a request must
// not be routed by the one and run by the other. Externally synchronised.

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <string_view>

#include "server/base/body_sink.h"

namespace tao::chat {

inline constexpr size_t kMaxModelBytes = 4096;  // decoded; longer names nothing we could serve

class RoutingKeys : public base::BodySink {
 public:
  // Absent until the whole value has been read; later duplicates still end the scan with an error.
  // Untrusted text of any content (controls, NUL, "../"): only ever compare it, or print it quoted.
  // An empty string is present, and names nothing.
  const std::optional<std::string>& model() const { return model_; }
  // Whether the client asked for a stream; null and absence mean no.
  bool stream() const { return stream_; }
  // stream_options.include_usage: the client of a stream wants a last chunk with `usage`. Only a
  // literal true counts; whatever else stands there is for the backend to judge.
  bool include_usage() const { return include_usage_; }

  // Errors: bad_request with param "model" (not a string, too long, given twice) or "stream" (not a
  // boolean or null, given twice).
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
  // The member whose value comes next, among those that concern us.
  enum class Member { kOther, kModel, kStream, kStreamOptions, kIncludeUsage };

  absl::Status OnContainerBegin(std::string_view type);
  absl::Status OnOther(std::string_view type);

  int depth_ = 0;
  Member member_ = Member::kOther;
  bool in_stream_options_ = false;
  bool model_seen_ = false;
  bool stream_seen_ = false;
  std::string model_text_;
  std::optional<std::string> model_;
  bool stream_ = false;
  bool include_usage_ = false;
};

}  // namespace tao::chat
