#pragma once

// Whether a port of this host can be taken, and who has it. Thread-safe: it keeps nothing.

#include <absl/status/status.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tao::platforms {

// OK when a server could listen on it now, on all addresses and on 127.0.0.1 (the bind of another
// on any of this host's addresses is in the way of the former). ResourceExhausted: taken, and by
// whom if that can be seen (other users' processes cannot, but by root). Unavailable: could not
// ask.
absl::Status CheckPortIsFree(int port);

// Pure: inode numbers of the sockets that listen on `port`, in /proc/net/tcp or tcp6.
std::vector<uint64_t> ListenersOn(std::string_view proc_net_tcp, int port);

// Whether process `pid` (of this user, or asked by root) has a socket that listens on `port`.
bool ListensOn(pid_t pid, int port);

}  // namespace tao::platforms
