#pragma once

// Whether an address can be reached from this host. Blocks for `timeout`, and for the look-up of a
// name beside it; keeps nothing.

#include <absl/time/time.h>

#include <string>

namespace tao::platforms {

enum class Reach {
  kConnected,
  kRefused,  // somebody answers there, and nobody listens: a server may yet come up
  kNone,     // no way there, no such name, or no answer in time
};

// With `address`: the numeric one that took the connection, when one did.
Reach ProbeConnect(const std::string& host, int port, absl::Duration timeout,
                   std::string* address = nullptr);

}  // namespace tao::platforms
