#include "server/lifecycle/port_choice.h"

namespace tao::lifecycle {

PortWish PortWishFor(bool forwarded, bool has_port_flag) {
  if (forwarded) return {.instance_id = "", .first = kFirstPort, .last = kLastPort};
  if (has_port_flag) return {.instance_id = "", .first = kFirstPort + 1, .last = kLastPort};
  return {.instance_id = "", .first = kFirstPort, .last = kFirstPort};
}

std::optional<int> LowestFreePort(const PortWish& wish, const std::set<int>& used) {
  for (int port = wish.first; port <= wish.last; ++port) {
    if (!used.contains(port)) return port;
  }
  return std::nullopt;
}

}  // namespace tao::lifecycle
