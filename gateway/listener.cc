#include "gateway/listener.h"

#include <absl/strings/str_format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::gateway {

namespace net = transport::net;

namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

absl::StatusOr<AddressList> FindAddress(const std::string& listen, const ListeningFor& purpose) {
  const auto malformed = [&] {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s address %s: expected HOST:PORT, for instance 127.0.0.1:8000 or "
                        "[::1]:8000",
                        purpose.who, base::Quoted(listen)));
  };
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos || colon == 0) return malformed();
  std::string host = listen.substr(0, colon);
  const std::string port = listen.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    return malformed();
  }
  if (port.empty() || port.size() > 5 ||
      port.find_first_not_of("0123456789") != std::string::npos || std::stoi(port) > 65535) {
    return malformed();
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::InvalidArgumentError(absl::StrFormat("%s address %s: %s", purpose.who,
                                                      base::Quoted(listen), gai_strerror(error)));
  }
  return AddressList(found, &::freeaddrinfo);
}

// Binds and listens. `shared`: other sockets of ours have the same address.
absl::StatusOr<int> Bind(const sockaddr* address, socklen_t size, const std::string& listen,
                         bool shared, const ListeningFor& purpose) {
  const int fd = ::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  if (fd >= 0 && ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
      (!shared || ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
      ::bind(fd, address, size) == 0 && ::listen(fd, SOMAXCONN) == 0) {
    return fd;
  }
  const int error = errno;
  if (fd >= 0) ::close(fd);
  std::string advice = "choose another address with ";
  if (error == EADDRINUSE) {
    advice =
        "another program listens there (`ss -ltnp` shows which); stop it, or choose another "
        "address with ";
  } else if (error == EACCES) {
    advice = "ports below 1024 need root; choose a higher one with ";
  } else if (error == EADDRNOTAVAIL) {
    advice =
        "no interface of this host has that address (`ip addr` lists them); choose another with ";
  }
  return absl::FailedPreconditionError(absl::StrFormat("%s: cannot listen on %s: %s: %s%s",
                                                       purpose.who, listen, std::strerror(error),
                                                       advice, purpose.flag));
}

uint16_t PortOf(const sockaddr_storage& address) {
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

net::ip::address AddressOf(const sockaddr_storage& address) {
  if (address.ss_family != AF_INET6) {
    return net::ip::address_v4(
        ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  }
  net::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr,
              bytes.size());
  return net::ip::address_v6(bytes);
}

}  // namespace

absl::StatusOr<ListeningSockets> OpenListeningSockets(const std::string& listen, size_t count,
                                                      const ListeningFor& purpose) {
  ASSIGN_OR_RETURN(const AddressList found, FindAddress(listen, purpose));
  sockaddr_storage address = {};
  std::memcpy(&address, found->ai_addr, found->ai_addrlen);
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);

  if (PortOf(address) != 0) {
    // A second daemon of the same user could share the port with us, and get half of the requests.
    // Without SO_REUSEPORT the bind fails if anyone listens there.
    ASSIGN_OR_RETURN(const int probe, Bind(generic, found->ai_addrlen, listen, false, purpose));
    ::close(probe);
  }
  ListeningSockets sockets;
  for (size_t i = 0; i < count; ++i) {
    const absl::StatusOr<int> fd = Bind(generic, found->ai_addrlen, listen, true, purpose);
    if (!fd.ok()) {
      for (const int open : sockets.fds) ::close(open);
      return fd.status();
    }
    sockets.fds.push_back(*fd);
    // The first one may have chosen the port; the others follow.
    socklen_t size = sizeof(address);
    ::getsockname(*fd, reinterpret_cast<sockaddr*>(&address), &size);
  }
  sockets.port = PortOf(address);
  sockets.address = listen.substr(0, listen.rfind(':') + 1) + std::to_string(sockets.port);
  return sockets;
}

Listener::Listener(transport::EventLoop& io, transport::DeadlineWheel& wheel, int fd,
                   OnConnection on_connection)
    : io_(io),
      fd_(fd),
      on_connection_(std::move(on_connection)),
      retry_(wheel, [this] { Accept(kAcceptedInTurn); }) {}

void Listener::Start() {
  if (!io_.Add(fd_, EPOLLIN, this)) std::abort();  // no memory for a worker's own socket
}

void Listener::Stop() {
  if (fd_ < 0) return;
  Accept(std::numeric_limits<int>::max());
  Close();
  retry_.Disarm();
}

void Listener::Close() {
  if (fd_ < 0) return;
  io_.Remove(fd_, this);
  io_.Forget(this);
  ::close(std::exchange(fd_, -1));
}

void Listener::Accept(int most) {
  for (int i = 0; i < most; ++i) {
    // Helper programs of the daemon must not inherit the descriptor.
    sockaddr_storage address = {};
    socklen_t size = sizeof(address);
    const int fd =
        ::accept4(fd_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      failing_ = false;
      on_connection_(transport::TcpSocket(fd), AddressOf(address));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    if (!std::exchange(failing_, true)) {
      base::Log(base::LogLevel::kError, "gateway",
                "cannot accept connections; is the limit of open files (ulimit -n) too low?",
                {{"error", std::strerror(errno)}});
    }
    // No descriptors are left for now, and the next connection may be long in coming.
    retry_.Arm(transport::DeadlineWheel::After(absl::Milliseconds(100)));
    return;
  }
  io_.Again(this);  // there may be more, of which no event would tell
}

}  // namespace tao::gateway
