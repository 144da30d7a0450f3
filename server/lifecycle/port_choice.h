#pragma once

// Which port of this host a service gets. Pure.
//
// One pool, 8080 to 8199, for containers, local processes and tunnels alike; the lowest free one
// first. A container has a network of its own, where it serves 8080: on the host it may have any
// port of the pool. Without one (local-process, slurm) an arch whose command takes the port
// (`port_flag`) starts at 8081, so that 8080 stays for an arch without the flag, which can have no
// other.

#include <optional>
#include <set>

namespace tao::lifecycle {

inline constexpr int kFirstPort = 8080;
inline constexpr int kLastPort = 8199;

// The ports that a start may get, both ends included.
struct PortWish {
  int first = kFirstPort;
  int last = kLastPort;
  friend bool operator==(const PortWish&, const PortWish&) = default;
};

PortWish PortWishFor(bool own_network, bool has_port_flag);

// The lowest port of `wish` that is not in `used`; nullopt when there is none.
std::optional<int> LowestFreePort(const PortWish& wish, const std::set<int>& used);

}  // namespace tao::lifecycle
