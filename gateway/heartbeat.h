#pragma once

// Keeps a client that waits for a stream from giving up, and those on the way from cutting the
// connection: load balancers after 60 s of silence, Node's fetch after 300 s, without a head too.
// After a while the stream is begun, whatever the backend will say, and from then on a comment
// (which every client of ours skips) is sent whenever nothing else was for the interval.
//
// A stream that was begun can no longer become an error with a status: what fails later is told as
// an error event. So it is begun late enough for whatever fails fast (GatewayConfig::
// early_stream_after).
//
// Worker thread only.

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange_client.h"
#include "gateway/gateway_config.h"
#include "gateway/request_body.h"

namespace tao::gateway {

class Heartbeat {
 public:
  // Begins to measure. Everything outlives it.
  Heartbeat(ExchangeClient& client, RequestBody& body, const GatewayConfig& config);

  // When the client should hear of us, if nothing else comes: a time of DeadlineWheel.
  absl::Duration due() const { return due_; }
  bool is_due() const;
  // Something was sent to the client.
  void Sent();

  // Sends each of `comments`, at an event boundary.
  transport::Task<absl::Status> Tell(const std::vector<std::string>& comments);

  // The stream was begun here.
  bool has_begun_stream() const { return has_begun_stream_; }

  // Sends `comment`, at an event boundary only; before the answer's head, begins the stream with
  // it. An error means that the client is gone.
  transport::Task<absl::Status> Beat(const routing::Service& service, std::string_view comment,
                                     bool answer_begun);

 private:
  ExchangeClient& client_;
  RequestBody& body_;
  const GatewayConfig& config_;
  absl::Duration due_;
  bool has_begun_stream_ = false;
};

// What an idle stream is sent.
inline constexpr std::string_view kKeepAlive = "keep-alive";

}  // namespace tao::gateway
