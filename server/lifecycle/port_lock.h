#pragma once

// Ports of this host, exclusive among all daemons on it, whatever registry files and users they
// have. A port that a service was given is free until the service listens, which takes minutes: a
// daemon that tries to bind it would take it for its own.

#include <memory>

namespace tao::lifecycle {

// Holds `port` until the result goes, or this process ends, however; null: another process holds
// it. The lock is the name of an abstract Unix socket, which the kernel keeps per network
// namespace, as it does ports. Where there can be no such socket, nobody is kept out.
std::shared_ptr<void> LockHostPort(int port);

}  // namespace tao::lifecycle
