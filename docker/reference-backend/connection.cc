#include "docker/reference-backend/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

namespace tao::reference_backend {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;
constexpr size_t kMaxHeadBytes = 64 * 1024;  // http.server's limit of one line, here of all
constexpr Milliseconds kDrainQuiet{500};     // EndAndDrain: no byte for so long
constexpr Milliseconds kDrainLongest{5000};

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The bytes a method or field name may have (RFC 9110 5.6.2).
bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::strchr("!#$%&'*+-.^_`|~", c) != nullptr;
  });
}

bool ParseRequestLine(std::string_view line, RequestHead& head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || last == first) return false;
  const std::string_view version = line.substr(last + 1);
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  head.http_1_0 = version == "HTTP/1.0";
  return IsToken(head.method) && !head.target.empty() && head.target[0] == '/' &&
         head.target.find(' ') == std::string::npos && (head.http_1_0 || version == "HTTP/1.1");
}

bool ParseField(std::string_view line, RequestHead& head) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) return false;
  std::string name(line.substr(0, colon));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  head.fields.emplace_back(std::move(name), Trimmed(line.substr(colon + 1)));
  return true;
}

// `text` ends with the empty line's CRLF taken off.
bool ParseHead(std::string_view text, RequestHead& head) {
  bool first = true;
  while (!text.empty()) {
    const size_t end = text.find("\r\n");
    if (end == std::string_view::npos) return false;
    const std::string_view line = text.substr(0, end);
    if (!(first ? ParseRequestLine(line, head) : ParseField(line, head))) return false;
    first = false;
    text.remove_prefix(end + 2);
  }
  return !first;
}

}  // namespace

const std::string* RequestHead::Find(std::string_view name) const {
  for (const auto& field : fields) {
    if (field.first == name) return &field.second;
  }
  return nullptr;
}

size_t RequestHead::Count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(
      fields.begin(), fields.end(), [name](const auto& field) { return field.first == name; }));
}

bool RequestHead::HasToken(std::string_view name, std::string_view token) const {
  for (const auto& [field, value] : fields) {
    if (field != name) continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (EqualIgnoringCase(Trimmed(rest.substr(0, comma)), token)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

Connection::Connection(int socket, const std::atomic<bool>& stopping)
    : socket_(socket), stopping_(stopping), buffer_(kBufferBytes) {}

bool Connection::Fill() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == buffer_.size()) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (end_ == buffer_.size()) return false;
  }
  ssize_t got = 0;
  do {
    got = ::recv(socket_, buffer_.data() + end_, buffer_.size() - end_, 0);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return false;
  end_ += static_cast<size_t>(got);
  return true;
}

HeadOutcome Connection::ReadHead(RequestHead& head, std::optional<Milliseconds> idle_limit) {
  if (begin_ == end_ && idle_limit) {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(idle_limit->count())) <= 0) return HeadOutcome::kClosed;
  }
  size_t searched = 0;
  for (;;) {
    const std::string_view arrived(buffer_.data() + begin_, end_ - begin_);
    const size_t end = arrived.find("\r\n\r\n", searched);
    if (end != std::string_view::npos) {
      const bool parsed = ParseHead(arrived.substr(0, end + 2), head);
      Consume(end + 4);
      return parsed ? HeadOutcome::kComplete : HeadOutcome::kMalformed;
    }
    if (arrived.size() > kMaxHeadBytes) return HeadOutcome::kTooLarge;
    searched = arrived.size() < 3 ? 0 : arrived.size() - 3;
    if (!Fill()) return arrived.empty() ? HeadOutcome::kClosed : HeadOutcome::kLeft;
  }
}

std::string_view Connection::Peek() {
  if (begin_ == end_ && !Fill()) return {};
  return {buffer_.data() + begin_, end_ - begin_};
}

bool Connection::Send(std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    text.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool Connection::WaitWhileConnected(Milliseconds duration) {
  const auto deadline = std::chrono::steady_clock::now() + duration;
  for (;;) {
    const auto left = std::chrono::ceil<Milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd watched{socket_, POLLRDHUP, 0};
    const int wait = static_cast<int>(std::max(left, Milliseconds(0)).count());
    const int got = ::poll(&watched, 1, wait);
    if (got < 0 && errno == EINTR) continue;
    if (got != 0) return false;
    if (left <= Milliseconds(0)) return true;
  }
}

void Connection::EndAndDrain() {
  ::shutdown(socket_, SHUT_WR);
  const auto deadline = std::chrono::steady_clock::now() + kDrainLongest;
  begin_ = end_ = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(kDrainQuiet.count())) <= 0) return;
    if (!Fill()) return;
    begin_ = end_ = 0;
  }
}

}  // namespace tao::reference_backend
