#include "server/platforms/connect_probe.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace tao::platforms {
namespace {

Reach ProbeOne(const addrinfo& address, absl::Duration timeout) {
  const int fd = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Reach::kNone;
  int error = connect(fd, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    pollfd waiting = {.fd = fd, .events = POLLOUT, .revents = 0};
    socklen_t size = sizeof(error);
    if (poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) <= 0) {
      error = ETIMEDOUT;
    } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
      error = errno;
    }
  }
  close(fd);
  if (error == 0) return Reach::kConnected;
  return error == ECONNREFUSED ? Reach::kRefused : Reach::kNone;
}

std::string NumericOf(const addrinfo& address) {
  char text[NI_MAXHOST] = "";
  getnameinfo(address.ai_addr, address.ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
  return text;
}

}  // namespace

Reach ProbeConnect(const std::string& host, int port, absl::Duration timeout,
                   std::string* address) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return Reach::kNone;
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  Reach best = Reach::kNone;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    const Reach reach = ProbeOne(*each, timeout);
    if (reach == Reach::kConnected && address != nullptr) *address = NumericOf(*each);
    if (reach == Reach::kConnected) return reach;
    if (reach == Reach::kRefused) best = reach;
  }
  return best;
}

}  // namespace tao::platforms
