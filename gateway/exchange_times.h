#pragma once

// When one exchange came how far: for its log line, the metrics and Server-Timing. Exact, unlike
// DeadlineWheel::Now: what the gateway itself takes is a part of a millisecond.
//
// Pure; externally synchronised.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gateway/histogram.h"

namespace tao::gateway {

// Of a stream that is relayed: when its events came, as the gateway read them. Those that came in
// one read have no time between them. Comments and our own events are none.
struct EventTimes {
  bool followed = false;  // the answer is such a stream
  bool error = false;     // the service sent an error event
  bool done = false;      // ... and [DONE]
  uint64_t count = 0;
  int64_t first = 0;
  int64_t last = 0;
  int64_t longest_gap = 0;
  GapHistogram gaps;

  // `more` events have come, just now.
  void Came(uint64_t more, int64_t now);
};

// Nanoseconds of the monotonic clock; 0: it has not come to that.
struct ExchangeTimes {
  static int64_t Now();

  int64_t begun = Now();  // the request's head was read
  // From here on only we were in the way: the last byte of the request was read, its service was
  // READY, the connection stood.
  int64_t sendable = 0;
  int64_t sent = 0;      // the backend's socket has the request
  int64_t head = 0;      // the backend's head was read
  int64_t answered = 0;  // the head of its answer goes to the client
  // How long these took.
  int64_t held = 0;     // waiting for READY
  int64_t connect = 0;  // opening a connection
  EventTimes events;

  // A long body is sent while it is read: then only the way of the answer's head tells of us.
  void SentWhileRead() { sendable = sent = Now(); }

  // Our own part: from the last byte of the request to its sending, and from the backend's head to
  // the client's.
  int64_t Overhead() const;
  // From the sending to the backend's head; 0 while one of them is missing.
  int64_t Upstream() const;
};

// The value of a Server-Timing field (W3C Server Timing): "gw;dur=0.083, up;dur=35.120", with
// held and connect where there were such waits.
class ServerTiming {
 public:
  explicit ServerTiming(const ExchangeTimes& times);
  std::string_view text() const { return {text_.data(), size_}; }

 private:
  void Add(std::string_view name, int64_t nanoseconds);

  std::array<char, 160> text_;  // four entries of at most 35 bytes
  size_t size_ = 0;
};

}  // namespace tao::gateway
