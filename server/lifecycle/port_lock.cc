#include "server/lifecycle/port_lock.h"

#include <absl/strings/str_format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <string>

#include "server/io/file.h"

namespace tao::lifecycle {

std::shared_ptr<void> LockHostPort(int port) {
  auto lock = std::make_shared<io::UniqueFd>(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!lock->valid()) return lock;
  const std::string name = absl::StrFormat("tao-inference-port-%d", port);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, name.size());  // the NUL before it makes it abstract
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const int bound = bind(lock->get(), reinterpret_cast<const sockaddr*>(&address), length);
  if (bound != 0 && errno == EADDRINUSE) return nullptr;
  return lock;
}

}  // namespace tao::lifecycle
