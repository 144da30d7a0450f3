#pragma once

// What all workers together have in hand of the things that are bounded for the gateway as a whole.
// Thread-safe.

#include <atomic>
#include <cstddef>
#include <optional>
#include <utility>

#include "gateway/connection_limit.h"
#include "gateway/gateway_config.h"

namespace tao::gateway {

struct GatewayLoad {
  explicit GatewayLoad(const GatewayConfig& config)
      : connections(config.max_connections, config.max_connections_per_client) {}

  ConnectionLimit connections;
  std::atomic<size_t> held = 0;  // requests that wait for their service to become READY
};

// One of at most so many; given back when it is destroyed.
class Ticket {
 public:
  // nullopt when all are taken. `taken` outlives the ticket.
  static std::optional<Ticket> Take(std::atomic<size_t>& taken, size_t most) {
    if (taken.fetch_add(1, std::memory_order_relaxed) < most) return Ticket(taken);
    taken.fetch_sub(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  ~Ticket() {
    if (taken_ != nullptr) taken_->fetch_sub(1, std::memory_order_relaxed);
  }
  Ticket(Ticket&& other) noexcept : taken_(std::exchange(other.taken_, nullptr)) {}
  Ticket& operator=(Ticket&&) = delete;

 private:
  explicit Ticket(std::atomic<size_t>& taken) : taken_(&taken) {}

  std::atomic<size_t>* taken_;
};

}  // namespace tao::gateway
