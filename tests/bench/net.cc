#include "tests/bench/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace tao::bench {
namespace {

std::array<epoll_event, 512> events;  // each program has one thread and one loop

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

void SetNoDelay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

void Die(std::string_view what) {
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(what.size()), what.data(),
               std::strerror(errno));
  std::exit(1);
}

int64_t Now() {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

Flags::Flags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (argument.substr(0, 2) != "--") Die("expected --name=value, not " + std::string(argument));
    argument.remove_prefix(2);
    const size_t equals = argument.find('=');
    values_[std::string(argument.substr(0, equals))] =
        equals == std::string_view::npos ? "1" : argument.substr(equals + 1);
  }
}

std::string Flags::Text(const std::string& name, const std::string& fallback) {
  asked_[name] = true;
  const auto found = values_.find(name);
  return found == values_.end() ? fallback : found->second;
}

int64_t Flags::Number(const std::string& name, int64_t fallback) {
  const std::string text = Text(name, "");
  return text.empty() ? fallback : std::atoll(text.c_str());
}

void Flags::CheckAll() const {
  errno = EINVAL;
  for (const auto& [name, value] : values_) {
    if (!asked_.contains(name)) Die("--" + name);
  }
}

int Listen(int port, int* bound) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = Loopback(port);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 8192) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    Die("listen");
  }
  SetNoDelay(fd);  // accepted sockets inherit it
  *bound = ntohs(address.sin_port);
  return fd;
}

int ConnectTo(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(port);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    Die("connect");
  }
  SetNoDelay(fd);
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

Epoll::Epoll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {}

void Epoll::Add(int fd, void* context) {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = context;
  if (::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) != 0) Die("epoll_ctl");
}

int Epoll::WaitFor(int64_t until) {
  timespec timeout = {};
  if (until >= 0) {
    const int64_t left = std::max<int64_t>(0, until - Now());
    timeout.tv_sec = left / 1'000'000'000;
    timeout.tv_nsec = left % 1'000'000'000;
  }
  const int count = ::epoll_pwait2(fd_, events.data(), static_cast<int>(events.size()),
                                   until < 0 ? nullptr : &timeout, nullptr);
  if (count < 0 && errno != EINTR) Die("epoll_pwait2");
  return std::max(0, count);
}

void* Epoll::Context(int index) const { return events[static_cast<size_t>(index)].data.ptr; }
uint32_t Epoll::Events(int index) const { return events[static_cast<size_t>(index)].events; }

std::string_view FieldOf(std::string_view head, std::string_view name) {
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at)) {
    at += 2;
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    if (line.size() <= name.size() || line[name.size()] != ':' ||
        ::strncasecmp(line.data(), name.data(), name.size()) != 0) {
      continue;
    }
    std::string_view value = line.substr(name.size() + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  return {};
}

bool Dechunker::Feed(std::string_view bytes, std::string* out) {
  while (!bytes.empty()) {
    if (state_ == State::kData) {
      const size_t taken = std::min<uint64_t>(left_, bytes.size());
      out->append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      left_ -= taken;
      if (left_ == 0) state_ = State::kDataEnd;
      continue;
    }
    const char byte = bytes.front();
    bytes.remove_prefix(1);
    if (byte == '\r') continue;
    if (byte != '\n') {
      line_ += byte;
      continue;
    }
    if (state_ == State::kLastEnd) return true;
    if (state_ == State::kSize) {
      left_ = std::strtoull(line_.c_str(), nullptr, 16);
      state_ = left_ == 0 ? State::kLastEnd : State::kData;
    } else {
      state_ = State::kSize;
    }
    line_.clear();
  }
  return false;
}

}  // namespace tao::bench
