#pragma once

// Puts TLS before a FakeUpstream: accepts, shakes hands, and passes bytes on both ways, as they
// come. One thread a connection.
//
//   FakeUpstream upstream(...);
//   TlsFront front(upstream.port());
//   ... ServiceAt(front.port()) with the scheme https ...

#include <fcntl.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/mutex.h"
#include "tests/fakes/event.h"
#include "tests/fakes/raw_socket.h"
#include "tests/fakes/test_certificates.h"

namespace tao {

struct TlsFrontOptions {
  std::string certificate = "good";  // TestCertificates
  int newest_version = TLS1_3_VERSION;
  bool shakes_hands = true;  // false: takes the connection, and says nothing
  bool says_goodbye = true;  // false: ends without close_notify, as if it was cut off
  bool keeps_sessions = true;
};

class TlsFront {
 public:
  using Options = TlsFrontOptions;

  explicit TlsFront(uint16_t backend_port, Options options = {})
      : options_(std::move(options)),
        backend_port_(backend_port),
        context_(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free) {
    const TestCertificates::Pair pair = TestCertificates::Of(options_.certificate);
    SSL_CTX* const context = context_.get();
    SSL_CTX_set_max_proto_version(context, options_.newest_version);
    if (options_.newest_version < TLS1_2_VERSION) {
      SSL_CTX_set_min_proto_version(context, options_.newest_version);
      SSL_CTX_set_cipher_list(context, "DEFAULT@SECLEVEL=0");
    }
    SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
    if (!options_.keeps_sessions) SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_alpn_select_cb(context, &ChooseProtocol, nullptr);
    if (SSL_CTX_use_certificate_file(context, pair.certificate.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, pair.key.c_str(), SSL_FILETYPE_PEM) != 1) {
      std::abort();
    }
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
  ~TlsFront() {
    ::shutdown(listen_fd_, SHUT_RDWR);
    acceptor_.join();
    ::close(listen_fd_);
    {
      base::MutexLock lock(mutex_);
      for (const int fd : fds_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    for (const int fd : fds_) ::close(fd);
  }
  TlsFront(const TlsFront&) = delete;
  TlsFront& operator=(const TlsFront&) = delete;

  uint16_t port() const { return port_; }

  struct Counts {
    int accepted = 0;
    int full_handshakes = 0;
    int resumed = 0;
    int goodbyes = 0;                   // ends that the gateway announced
    int cuts = 0;                       // ... and did not
    std::string server_name, protocol;  // of the last handshake
  };
  Counts counts() const {
    base::MutexLock lock(mutex_);
    return counts_;
  }
  // False after kTestLimit.
  template <typename Condition>
  [[nodiscard]] bool WaitFor(Condition condition) {
    base::MutexLock lock(mutex_);
    while (!condition(counts_)) {
      if (changed_.WaitWithTimeout(mutex_, kTestLimit)) break;
    }
    return condition(counts_);
  }

 private:
  static int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                            const unsigned char* in, unsigned int in_size, void*) {
    static constexpr unsigned char kOurs[] = "\x08http/1.1";
    unsigned char* chosen = nullptr;
    const int found =
        SSL_select_next_proto(&chosen, out_size, kOurs, sizeof(kOurs) - 1, in, in_size);
    *out = chosen;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
  }

  template <typename Change>
  void Count(Change change) {
    base::MutexLock lock(mutex_);
    change(counts_);
    changed_.SignalAll();
  }

  void Accept() {
    while (true) {
      const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      Count([&](Counts& counts) {
        ++counts.accepted;
        fds_.push_back(fd);
      });
      threads_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  void Serve(int fd) {
    sigset_t pipe_only;  // OpenSSL writes without MSG_NOSIGNAL
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, nullptr);
    if (options_.shakes_hands) {
      const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_.get()), &SSL_free);
      SSL_set_fd(ssl.get(), fd);
      if (SSL_accept(ssl.get()) == 1) Pass(ssl.get(), fd);
    } else {
      char byte = 0;
      while (::recv(fd, &byte, 1, 0) > 0) {
      }
      Count([](Counts& counts) { ++counts.cuts; });
    }
    ::shutdown(fd, SHUT_RDWR);
  }

  void Pass(SSL* ssl, int fd) {
    Count([ssl](Counts& counts) {
      ++(SSL_session_reused(ssl) == 1 ? counts.resumed : counts.full_handshakes);
      const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
      counts.server_name = name != nullptr ? name : "";
      const unsigned char* protocol = nullptr;
      unsigned int size = 0;
      SSL_get0_alpn_selected(ssl, &protocol, &size);
      counts.protocol.assign(reinterpret_cast<const char*>(protocol), size);
    });
    RawSocket backend = RawSocket::Connect(backend_port_);
    bool is_open = true;
    std::vector<char> block(64 * 1024);
    while (is_open) {
      pollfd waiting[2] = {{fd, POLLIN, 0}, {backend.fd(), POLLIN, 0}};
      if (SSL_pending(ssl) == 0) ::poll(waiting, 2, -1);
      if (waiting[1].revents != 0) is_open = FromBackend(ssl, backend, block);
      if (is_open && (SSL_pending(ssl) > 0 || waiting[0].revents != 0)) {
        is_open = FromGateway(ssl, fd, backend, block);
      }
    }
  }

  bool FromBackend(SSL* ssl, RawSocket& backend, std::vector<char>& block) {
    const ssize_t got = ::recv(backend.fd(), block.data(), block.size(), 0);
    if (got <= 0) {
      if (options_.says_goodbye) SSL_shutdown(ssl);
      return false;
    }
    if (SSL_write(ssl, block.data(), static_cast<int>(got)) > 0) return true;
    Count([](Counts& counts) { ++counts.cuts; });
    return false;
  }

  bool FromGateway(SSL* ssl, int fd, RawSocket& backend, std::vector<char>& block) {
    const int got = SSL_read(ssl, block.data(), static_cast<int>(block.size()));
    if (got <= 0) {
      const bool announced = SSL_get_error(ssl, got) == SSL_ERROR_ZERO_RETURN;
      Count([announced](Counts& counts) { ++(announced ? counts.goodbyes : counts.cuts); });
      return false;
    }
    std::string_view rest(block.data(), static_cast<size_t>(got));
    while (!rest.empty()) {
      const ssize_t sent =
          ::send(backend.fd(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) {
        rest.remove_prefix(static_cast<size_t>(sent));
        continue;
      }
      if (errno != EAGAIN && errno != EINTR) return false;
      // A backend that reads no more must not hide that the gateway has gone.
      pollfd waiting[2] = {{fd, POLLRDHUP, 0}, {backend.fd(), POLLOUT, 0}};
      ::poll(waiting, 2, -1);
      if (waiting[0].revents != 0) {
        Count([](Counts& counts) { ++counts.cuts; });
        return false;
      }
    }
    return true;
  }

  const Options options_;
  const uint16_t backend_port_;
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  int listen_fd_ = -1;
  uint16_t port_ = 0;
  std::thread acceptor_;
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  Counts counts_ ABSL_GUARDED_BY(mutex_);
  std::vector<int> fds_;              // changed under mutex_
  std::vector<std::thread> threads_;  // touched by the acceptor, then by the destructor
};

}  // namespace tao
