#pragma once

// How backends are found and trusted, how long they may take, and how many idle connections to them
// are kept. Part of GatewayConfig.

#include <absl/time/time.h>

#include <cstddef>
#include <string>

#include "gateway/upstream/name_resolver.h"
#include "server/base/exchange_timeouts.h"

namespace tao::upstream {

struct UpstreamConfig {
  // PEM file of CAs that are trusted beside the system's; may be empty.
  std::string ca_file;
  // How old the addresses of a name may become until it is looked up again.
  absl::Duration name_time_to_live = absl::Seconds(30);
  // How names are looked up; tests have another way.
  Lookup lookup = LookUpBySystem;
  // Where neither the arch nor the client says otherwise.
  base::ExchangeTimeouts timeouts;
  // How long an unused connection is kept. Must be less than the backends' own limit (uvicorn: 5
  // s), or requests are lost in connections that they close at that moment.
  absl::Duration idle_timeout = absl::Seconds(3);
  // Unused connections kept for one service by one worker. They are at most as many as exchanges
  // ran within idle_timeout, and the connection limit, which has a descriptor for each, bounds
  // those; this only keeps a burst from holding memory. Keeping fewer than run at once would cost
  // most of the rest a new connection each.
  size_t max_idle_per_service = 1024;
};

}  // namespace tao::upstream
