#pragma once

// Frames a request body for the backend as it passes. The last byte of a body is only sent with its
// end: with a Content-Length that is so by itself, in the chunked coding one byte is held back.
// Worker thread only.

#include <array>
#include <cstddef>
#include <optional>

#include "gateway/http/chunked.h"
#include "gateway/transport/connection.h"
#include "gateway/transport/input_buffer.h"

namespace tao::upstream {

class BodyCoder {
 public:
  // `chunked`: the length was not known when the head was written.
  explicit BodyCoder(bool chunked) : chunked_(chunked) {}

  // What to send for `piece`, after `head` in the first call. Points into both and into the coder;
  // valid until the next call. May be empty.
  transport::Gather Encode(const transport::BodyPiece& piece, std::string_view head = {});

 private:
  bool chunked_;
  std::optional<http::ChunkHeader> header_;
  std::array<char, 2> held_ = {};  // the byte of the last call, and the one of this call
  size_t held_at_ = 0;
  bool holds_ = false;
};

}  // namespace tao::upstream
