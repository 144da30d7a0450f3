#pragma once

// The body of one request, piece by piece as it arrives: Content-Length or chunked coding (RFC 9112
// 6 and 7.1). Nothing is kept: a piece lies in the connection's buffer. Of the connection's thread.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "docker/reference-backend/connection.h"

namespace tao::reference_backend {

class RequestBody {
 public:
  // 512 MiB of media as base64, and room for the rest.
  static constexpr uint64_t kMaxBytes = uint64_t{1} << 30;

  enum class State {
    kReading,
    kComplete,
    kLeft,       // the client left before the end
    kMalformed,  // the framing is wrong: answer 400 and close
    kTooLarge,   // more than kMaxBytes: answer 413 and close
  };

  // Decides the framing from the head. `on_bytes` is called with the count so far after each piece.
  RequestBody(const RequestHead& head, Connection& connection,
              std::function<void(uint64_t bytes)> on_bytes);

  // The next piece; empty when there is none, and state() says why. Valid until the next call. The
  // first call sends the 100 (Continue) that the client may wait for.
  std::string_view Next();
  // Reads to the end.
  void Discard();

  State state() const { return state_; }
  uint64_t bytes() const { return bytes_; }

 private:
  enum class Framing { kLength, kChunked };

  // One line without its CRLF. False: state_ says why.
  bool ReadLine(std::string& line);
  void BeginChunk();
  void EndChunk();

  Connection& connection_;
  std::function<void(uint64_t)> on_bytes_;
  Framing framing_ = Framing::kLength;
  bool wants_continue_ = false;
  bool in_chunk_ = false;
  State state_ = State::kReading;
  uint64_t left_ = 0;  // of the body, or of the chunk
  uint64_t bytes_ = 0;
};

}  // namespace tao::reference_backend
