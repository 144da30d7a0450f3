#pragma once

// One end of a loopback TCP connection, blocking, with a 5 s limit on everything: exact bytes out,
// exact bytes in. One thread at a time, but for Close and ShutdownWrite.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tao {

// An HTTP message as it came.
struct RawMessage {
  std::string head;       // with its empty line; empty: the connection ended before it was complete
  std::string body;       // decoded
  bool whole = false;     // the body ended as its framing says
  bool by_close = false;  // ... which was with the connection

  // The value of the first line of that name, in any case; nullopt when there is none.
  std::optional<std::string> Field(std::string_view name) const {
    std::string lower = "\r\n" + std::string(name) + ":";
    std::string text = head;
    const auto fold = [](char& c) { c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    std::for_each(lower.begin(), lower.end(), fold);
    std::for_each(text.begin(), text.end(), fold);
    const size_t at = text.find(lower);
    if (at == std::string::npos) return std::nullopt;
    const size_t begin = head.find_first_not_of(' ', at + lower.size());
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
  int status() const { return head.size() > 12 ? std::atoi(head.c_str() + 9) : 0; }
};

class RawSocket {
 public:
  static RawSocket Connect(uint16_t port) {
    RawSocket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket.fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      socket.Close();
    }
    return socket;
  }

  explicit RawSocket(int fd) : fd_(fd) {
    const timeval limit = {5, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  RawSocket(RawSocket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), unread_(std::move(other.unread_)) {}
  RawSocket& operator=(RawSocket&& other) noexcept {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    unread_ = std::move(other.unread_);
    return *this;
  }
  ~RawSocket() { Close(); }

  bool is_open() const { return fd_ >= 0; }

  // False: the other end is gone, or did not read for 5 s.
  bool Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  enum class End { kNone, kFin, kReset, kTimeout };

  // What is there, at least a byte; empty at the end, see end().
  std::string ReadSome() {
    if (!unread_.empty()) return std::exchange(unread_, {});
    char buffer[64 * 1024];
    ssize_t got = 0;
    do {
      got = ::recv(fd_, buffer, sizeof(buffer), 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) return std::string(buffer, static_cast<size_t>(got));
    end_ = got == 0 ? End::kFin
                    : (errno == EAGAIN || errno == EWOULDBLOCK ? End::kTimeout : End::kReset);
    return {};
  }
  End end() const { return end_; }

  // Everything up to the end of the connection.
  std::string ReadToEnd() {
    std::string all;
    for (std::string some = ReadSome(); !some.empty(); some = ReadSome()) all += some;
    return all;
  }

  // Exactly that many bytes, or fewer at the end.
  std::string ReadBytes(size_t bytes) {
    std::string all;
    while (all.size() < bytes) {
      std::string some = ReadSome();
      if (some.empty()) return all;
      all += some;
    }
    unread_ = all.substr(bytes);
    all.resize(bytes);
    return all;
  }

  // Everything up to and with `end`, or what there is.
  std::string ReadThrough(std::string_view end) {
    std::string all;
    size_t from = 0;
    while (true) {
      const size_t at = all.find(end, from);
      if (at != std::string::npos) {
        unread_ = all.substr(at + end.size());
        all.resize(at + end.size());
        return all;
      }
      from = all.size() < end.size() ? 0 : all.size() - end.size();
      std::string some = ReadSome();
      if (some.empty()) return all;
      all += some;
    }
  }

  // One request or answer. A head without framing fields: for a request no body, for an answer all
  // up to the end of the connection.
  RawMessage ReadMessage(bool has_body = true) {
    RawMessage message;
    message.head = ReadThrough("\r\n\r\n");
    if (message.head.size() < 4 || message.head.substr(message.head.size() - 4) != "\r\n\r\n") {
      return message;
    }
    const std::optional<std::string> length = message.Field("Content-Length");
    const bool is_answer = message.head.rfind("HTTP/", 0) == 0;
    if (!has_body || message.status() / 100 == 1 || message.status() == 204 ||
        message.status() == 304) {
      message.whole = true;
    } else if (length.has_value()) {
      const size_t bytes = std::strtoull(length->c_str(), nullptr, 10);
      message.body = ReadBytes(bytes);
      message.whole = message.body.size() == bytes;
    } else if (message.Field("Transfer-Encoding").has_value()) {
      while (true) {
        const std::string line = ReadThrough("\r\n");
        if (line.size() < 3) return message;
        const size_t bytes = std::strtoull(line.c_str(), nullptr, 16);
        const std::string chunk = ReadBytes(bytes + 2);
        if (chunk.size() != bytes + 2) return message;
        if (bytes == 0) break;
        message.body += chunk.substr(0, bytes);
      }
      message.whole = true;
    } else if (is_answer) {
      message.body = ReadToEnd();
      message.by_close = true;
      message.whole = end_ == End::kFin;
    } else {
      message.whole = true;
    }
    return message;
  }

  // Waits for the other end to close; what comes until then is dropped. False after 5 s.
  bool WaitForEnd() {
    ReadToEnd();
    return end_ == End::kFin || end_ == End::kReset;
  }

  // Whether the next thing that comes within `limit_ms` is... nothing.
  bool IsSilent(int limit_ms) {
    pollfd poller = {fd_, POLLIN, 0};
    return unread_.empty() && ::poll(&poller, 1, limit_ms) == 0;
  }

  void ShutdownWrite() { ::shutdown(fd_, SHUT_WR); }
  void Reset() {
    const linger hard = {1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    Close();
  }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  int fd() const { return fd_; }
  // Ends a read or write of another thread.
  void Break() { ::shutdown(fd_, SHUT_RDWR); }

 private:
  int fd_ = -1;
  std::string unread_;
  End end_ = End::kNone;
};

}  // namespace tao
