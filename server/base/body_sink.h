#pragma once

// What a request body says, told as it is read. The gateway's scanner (gateway/chat/body_scanner.h)
// emits these events for the whole JSON tree in document order, in one pass, without ever holding the
// body; the routing keys, the request contract and the secret check live on them.
//
// Externally synchronised: one sink sees one body, from one thread at a time. An event that returns an
// error ends the scan with that error, and no event follows it.

#include <absl/status/status.h>

#include <string_view>

namespace tao::base {

class BodySink {
 public:
  virtual ~BodySink() = default;

  virtual absl::Status OnObjectBegin() = 0;
  virtual absl::Status OnObjectEnd() = 0;
  virtual absl::Status OnArrayBegin() = 0;
  virtual absl::Status OnArrayEnd() = 0;

  // A member's name, escapes decoded, whole. Valid until the call returns.
  virtual absl::Status OnKey(std::string_view key) = 0;

  // A piece of a string value, escapes decoded, UTF-8 (a piece never splits a character). `last` ends
  // the value; an empty string is one empty last piece. Valid until the call returns.
  virtual absl::Status OnStringPiece(std::string_view piece, bool last) = 0;

  // A number as it stands in the body (RFC 8259 grammar, already checked), whole.
  virtual absl::Status OnNumber(std::string_view text) = 0;
  virtual absl::Status OnBool(bool value) = 0;
  virtual absl::Status OnNull() = 0;
};

}  // namespace tao::base
