#pragma once

// The few names of Boost.Asio that the gateway is written in: addresses, buffers, error codes. Its
// event loop and its coroutines are our own (event_loop.h, task.h).

#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <utility>

#include "gateway/transport/event_loop.h"
#include "gateway/transport/task.h"

namespace tao::transport {

namespace net = boost::asio;

using Tcp = net::ip::tcp;

// A socket that is nobody's yet; closes it if it stays so.
class TcpSocket {
 public:
  TcpSocket() = default;
  explicit TcpSocket(int fd) : fd_(fd) {}
  TcpSocket(TcpSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  TcpSocket& operator=(TcpSocket&&) = delete;
  ~TcpSocket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace tao::transport
