#pragma once

// How long the parts of an exchange may take. Three say it, the later over the earlier: the
// operator's configuration, the arch's row in request.yaml (network_arch_constraints.*.timeouts),
// and the client of one request, who may only shorten. Plain data.

#include <absl/time/time.h>

#include <algorithm>
#include <optional>

namespace tao::base {

struct ExchangeTimeouts {
  // Until the connection stands, name lookup and TLS handshake included.
  absl::Duration connect = absl::Seconds(5);
  // From the last byte of the request to the complete head of the answer. A container that does
  // not stream says nothing until the whole answer is there: a video takes many minutes.
  absl::Duration first_byte = absl::Minutes(30);
  // Between two reads of an answer that has begun, and the longest wait of a write that the backend
  // does not take.
  absl::Duration between_bytes = absl::Minutes(5);
  // From the moment when the request is sent to the end of its answer, however steadily it flows.
  absl::Duration total = absl::InfiniteDuration();
};

// What is absent stays as it is.
struct TimeoutOverrides {
  std::optional<absl::Duration> connect;
  std::optional<absl::Duration> first_byte;
  std::optional<absl::Duration> between_bytes;
  std::optional<absl::Duration> total;

  friend bool operator==(const TimeoutOverrides&, const TimeoutOverrides&) = default;
};

inline ExchangeTimeouts Overridden(ExchangeTimeouts timeouts, const TimeoutOverrides& by) {
  timeouts.connect = by.connect.value_or(timeouts.connect);
  timeouts.first_byte = by.first_byte.value_or(timeouts.first_byte);
  timeouts.between_bytes = by.between_bytes.value_or(timeouts.between_bytes);
  timeouts.total = by.total.value_or(timeouts.total);
  return timeouts;
}

inline ExchangeTimeouts Narrowed(ExchangeTimeouts timeouts, const TimeoutOverrides& by) {
  timeouts.connect = std::min(by.connect.value_or(timeouts.connect), timeouts.connect);
  timeouts.first_byte = std::min(by.first_byte.value_or(timeouts.first_byte), timeouts.first_byte);
  timeouts.between_bytes =
      std::min(by.between_bytes.value_or(timeouts.between_bytes), timeouts.between_bytes);
  timeouts.total = std::min(by.total.value_or(timeouts.total), timeouts.total);
  return timeouts;
}

}  // namespace tao::base
