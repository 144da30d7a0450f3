#include "docker/reference-backend/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace tao::reference_backend {
namespace {

// http.server sets it too: a service that starts again takes its port at once.
void AllowReuse(int socket) {
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

}  // namespace

std::optional<int> Server::Listen(uint16_t port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0) return errno;
  AllowReuse(listener_);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(port);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 512) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    return errno;
  }
  port_ = ntohs(address.sin_port);
  return std::nullopt;
}

void Server::Start(Handler& handler) {
  acceptor_ = std::thread([this, &handler] { AcceptLoop(handler); });
}

void Server::AcceptLoop(Handler& handler) {
  for (int64_t number = 1; !stopping_;) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    const int socket =
        ::accept4(listener_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC);
    JoinDone();
    if (socket < 0) {
      // Out of descriptors, or the client left the queue: the next one may do. A pause keeps the
      // first from spinning.
      if (!stopping_ && errno != EINTR && errno != ECONNABORTED) ::poll(nullptr, 0, 50);
      continue;
    }
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char text[INET_ADDRSTRLEN] = "?";
    ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
    const std::lock_guard lock(mutex_);
    Client& client = clients_.emplace_back();
    client.socket = socket;
    try {
      client.thread = std::thread([this, &handler, &client, number, peer = std::string(text)] {
        Run(handler, client, number, peer);
      });
      ++number;
    } catch (
        const std::system_error&) {  // no thread to be had: the client sees a closed connection
      ::close(socket);
      clients_.pop_back();
    }
  }
}

void Server::Run(Handler& handler, Client& client, int64_t number, const std::string& peer) {
  int socket = -1;
  {
    const std::lock_guard lock(mutex_);
    socket = client.socket;
  }
  Connection connection(socket, stopping_);
  handler.Serve(connection, number, peer);
  const std::lock_guard lock(mutex_);
  ::close(socket);
  client.socket = -1;
  client.done = true;
}

void Server::JoinDone() {
  for (auto client = clients_.begin(); client != clients_.end();) {
    {
      const std::lock_guard lock(mutex_);
      if (!client->done) {
        ++client;
        continue;
      }
    }
    client->thread.join();
    client = clients_.erase(client);
  }
}

void Server::Stop() {
  stopping_ = true;
  // On Linux, shutting a listening socket down ends the accept that waits on it.
  if (listener_ >= 0) ::shutdown(listener_, SHUT_RDWR);
  if (acceptor_.joinable()) acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const Client& client : clients_) {
      if (client.socket >= 0) ::shutdown(client.socket, SHUT_RDWR);
    }
  }
  for (Client& client : clients_) client.thread.join();
  clients_.clear();
  if (listener_ >= 0) ::close(listener_);
  listener_ = -1;
}

}  // namespace tao::reference_backend
