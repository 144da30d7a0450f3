#pragma once

// Takes a body off the wire, whatever its framing: bytes in, views of the body out.
//
//   BodyReader body(framing);
//   BodyStep step;
//   do {
//     step = body.Next(input);
//     Use(step.data);
//     input.remove_prefix(step.consumed);
//   } while (step.state == BodyStep::State::kNeedMore && !step.data.empty());
//   kDone: `input` now begins with the next message. kNeedMore: all consumed; read more.
//   End of the connection: body.OnEof() says whether the message is whole.

#include "gateway/http/chunked.h"
#include "gateway/http/framing.h"
#include "gateway/http/message_error.h"

#include <cstdint>
#include <string_view>

namespace tao::http {

class BodyReader {
 public:
  BodyReader() = default;  // no body
  explicit BodyReader(const BodyFraming& framing, const ChunkedLimits& limits = {});

  // As ChunkedDecoder::Next, for every framing. Once done, it stays done and consumes nothing.
  BodyStep Next(std::string_view input);

  // The peer sent its FIN. True when the body is whole: it was done, or ends with the connection.
  // False means a truncated message, which must never be passed on as a complete one.
  bool OnEof();

  bool done() const { return done_; }
  uint64_t body_bytes() const { return body_bytes_; }  // handed out so far
  const BodyFraming& framing() const { return framing_; }
  const MessageError& error() const { return chunked_.error(); }  // after kError

 private:
  BodyFraming framing_;
  ChunkedDecoder chunked_;
  uint64_t body_bytes_ = 0;
  bool done_ = true;
};

}  // namespace tao::http
