#pragma once

// Whether a port of this host can be taken, and who has it. Thread-safe: it keeps nothing.

#include <absl/status/status.h>

#include <string>

namespace tao::platforms {

// OK when a server could listen on it now, on all addresses and on 127.0.0.1 (the bind of another
// on any of this host's addresses is in the way of the former). ResourceExhausted: taken, and by
// whom if that can be seen (other users' processes cannot, but by root). Unavailable: could not
// ask.
absl::Status CheckPortIsFree(int port);

}  // namespace tao::platforms
