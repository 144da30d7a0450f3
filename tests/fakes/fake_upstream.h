#pragma once

// A backend of raw sockets: every connection runs a script on its own thread, which reads what it
// wants and writes exact bytes. Records all that arrived.
//
//   FakeUpstream upstream([](FakeUpstream::Peer& peer) {
//     peer.ReadRequest();
//     peer.Write("HTTP/1.0 200 OK\r\n\r\nhello");
//   });
//
// Destroying it breaks all connections and joins the scripts.

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "server/base/mutex.h"
#include "tests/fakes/event.h"
#include "tests/fakes/raw_socket.h"

namespace tao {

class FakeUpstream {
 public:
  // One accepted connection, for its script.
  class Peer {
   public:
    Peer(FakeUpstream& owner, int fd) : owner_(owner), socket_(fd) {}

    // The next request, body decoded; an incomplete one has whole == false.
    RawMessage ReadRequest() { return Record(socket_.ReadMessage()); }
    // The next request's head alone.
    std::string ReadHead() {
      std::string head = socket_.ReadThrough("\r\n\r\n");
      owner_.Record(head);
      return head;
    }
    std::string ReadBytes(size_t bytes) { return socket_.ReadBytes(bytes); }
    bool Write(std::string_view bytes) { return socket_.Write(bytes); }
    bool WaitForEnd() { return socket_.WaitForEnd(); }
    RawSocket& socket() { return socket_; }

   private:
    friend class FakeUpstream;
    RawMessage Record(RawMessage message) {
      owner_.Record(message.head + message.body);
      return message;
    }
    FakeUpstream& owner_;
    RawSocket socket_;
  };
  using Script = std::function<void(Peer&)>;

  explicit FakeUpstream(Script script) : script_(std::move(script)) {
    listen_fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listen_fd_, 128) != 0 ||
        ::getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~FakeUpstream() {
    ::shutdown(listen_fd_, SHUT_RDWR);
    acceptor_.join();
    ::close(listen_fd_);
    {
      base::MutexLock lock(mutex_);
      for (const std::unique_ptr<Peer>& peer : peers_) peer->socket_.Break();
    }
    for (std::thread& thread : threads_) thread.join();
  }
  FakeUpstream(const FakeUpstream&) = delete;
  FakeUpstream& operator=(const FakeUpstream&) = delete;

  uint16_t port() const { return port_; }

  // All that the scripts read as requests, one after the other.
  std::string received() const {
    base::MutexLock lock(mutex_);
    return received_;
  }
  int connections() const {
    base::MutexLock lock(mutex_);
    return static_cast<int>(peers_.size());
  }
  // Scripts that have ended, and their connections with them.
  int finished() const {
    base::MutexLock lock(mutex_);
    return finished_;
  }

 private:
  void Accept() {
    while (true) {
      const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      base::MutexLock lock(mutex_);
      peers_.push_back(std::make_unique<Peer>(*this, fd));
      threads_.emplace_back([this, peer = peers_.back().get()] {
        script_(*peer);
        peer->socket_.Break();  // closed when the fake is destroyed; the other end sees it now
        base::MutexLock done(mutex_);
        ++finished_;
      });
    }
  }
  void Record(std::string_view bytes) {
    base::MutexLock lock(mutex_);
    received_.append(bytes);
  }

  const Script script_;
  int listen_fd_ = -1;
  uint16_t port_ = 0;
  std::thread acceptor_;
  mutable base::Mutex mutex_;
  std::vector<std::unique_ptr<Peer>> peers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;  // touched by the acceptor, then by the destructor
  std::string received_ ABSL_GUARDED_BY(mutex_);
  int finished_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tao
