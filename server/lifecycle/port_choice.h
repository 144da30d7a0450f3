#pragma once

// Which port of this host, or of an instance, a service gets. Pure.
//
// One pool a host, 8080 to 8199, for containers, local processes and tunnels alike; the lowest free
// one first. A container has a network of its own, where it serves 8080: on the host it may have
// any port of the pool. Without one (local-process) an arch whose command takes the port
// (`port_flag`) starts at 8081, so that 8080 stays for an arch without the flag, which can have no
// other.

#include <optional>
#include <set>
#include <string>

namespace tao::lifecycle {

inline constexpr int kFirstPort = 8080;
inline constexpr int kLastPort = 8199;

// The ports that a start may get, both ends included.
struct PortWish {
  std::string instance_id;  // whose ports; empty: this host's
  int first = kFirstPort;
  int last = kLastPort;
  friend bool operator==(const PortWish&, const PortWish&) = default;
};

// `forwarded`: the port is forwarded to a container; otherwise the service itself listens there.
PortWish PortWishFor(bool forwarded, bool has_port_flag);

// The lowest port of `wish` that is not in `used`; nullopt when there is none.
std::optional<int> LowestFreePort(const PortWish& wish, const std::set<int>& used);

}  // namespace tao::lifecycle
