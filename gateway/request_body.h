#pragma once

// Reads a request's body and has each piece judged before anyone else sees it. Worker thread only.

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/exchange_client.h"
#include "gateway/exchange_times.h"
#include "gateway/request_routing.h"

namespace tao::gateway {

class RequestBody {
 public:
  // `length`: the Content-Length, if there is one. `times` learns when the last byte was read.
  RequestBody(ExchangeClient& client, RequestRouting& routing, uint64_t max_bytes,
              std::optional<uint64_t> length, ExchangeTimes& times);

  // body_too_large before anything is read, when the length says so.
  absl::Status CheckLength() const;

  // The next bytes that may be sent on, valid until the next call; not called after the last. An
  // error means that the request must not run.
  transport::Task<absl::Status> Next(transport::BodyPiece* piece);

  bool done() const { return done_; }
  uint64_t bytes() const { return bytes_; }  // read so far
  std::optional<uint64_t> length() const { return length_; }

  // What the client should be told of its request (RequestRouting::NoticeLines): once, to whoever
  // asks first after the last piece.
  std::vector<std::string> TakeNotices();
  bool may_have_notices() const { return done_ && !notices_taken_; }

 private:
  ExchangeClient& client_;
  RequestRouting& routing_;
  const uint64_t max_bytes_;
  const std::optional<uint64_t> length_;
  ExchangeTimes& times_;
  uint64_t bytes_ = 0;
  bool done_ = false;
  bool notices_taken_ = false;
};

}  // namespace tao::gateway
