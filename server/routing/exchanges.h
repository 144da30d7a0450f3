#pragma once

// What the control plane and the gateway tell each other about exchanges, so that neither includes
// the other; main wires them.

#include <string_view>

namespace tao::routing {

// Implemented by the gateway. Thread-safe.
class ExchangeCounter {
 public:
  virtual ~ExchangeCounter() = default;
  // Exchanges that were sent to the service and are not over, in all workers. Stop drains by it.
  virtual int InFlight(std::string_view job_id) const = 0;
};

// Implemented by the control plane. Called on a worker's thread: must not block.
class FailureListener {
 public:
  virtual ~FailureListener() = default;
  // An exchange failed at the upstream side (connect, reset, first-byte time-out): probe it at
  // once.
  virtual void OnExchangeFailed(std::string_view job_id) = 0;
};

}  // namespace tao::routing
