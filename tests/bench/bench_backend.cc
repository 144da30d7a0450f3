// A backend that costs little: one thread, one epoll loop, answers made beforehand. It stands for
// the container behind every proxy of the benchmark, and is all that stands behind them.
//
//   bench-backend [--port=N]      prints the port that it listens on; ends with its stdin
//
//   GET anything                  200, a small JSON object: the health checks
//   POST anything                 200, a chat completion of 500 bytes
//   POST ...?sse=RATE&events=N    a stream of N events (1e18), RATE a second; 0: one, then silence
//   POST ...?bytes=N              an answer of N bytes
//
// Each event carries the time at which it was written, "t", for the load generator to subtract.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "tests/bench/net.h"

namespace tao::bench {
namespace {

std::array<char, 1 << 18> input;         // what is read next; no connection keeps any of it
const std::string filler(1 << 18, 'x');  // the body of long answers

std::string Answer(std::string_view type, std::string_view body) {
  return "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
         "content-length: " +
         std::to_string(body.size()) + "\r\ncontent-type: " + std::string(type) + "\r\n\r\n" +
         std::string(body);
}

const std::string health = Answer("application/json", R"({"status":"ready"})");
const std::string completion = Answer(
    "application/json",
    R"({"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"bench",)"
    R"("choices":[{"index":0,"message":{"role":"assistant","content":")" +
        std::string(230, 'a') +
        R"(","tool_calls":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":480,)"
        R"("total_tokens":540,"completion_tokens":60},"prompt_logprobs":null})");
constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
    "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";

std::string Chunk(std::string_view data) {
  std::array<char, 16> size;
  char* const end = std::to_chars(size.data(), size.data() + size.size(), data.size(), 16).ptr;
  return std::string(size.data(), end).append("\r\n").append(data).append("\r\n");
}

std::string Event() {
  return Chunk(
      R"(data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,)"
      R"("model":"bench","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,)"
      R"("finish_reason":null}],"t":)" +
      std::to_string(Now()) + "}\n\n");
}

// The number after "NAME=" in the request line, if it is there.
std::optional<int64_t> Parameter(std::string_view head, std::string_view name) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const size_t at = line.find(std::string(name) + "=");
  if (at == std::string_view::npos) return std::nullopt;
  return std::atoll(line.data() + at + name.size() + 1);
}

struct Connection {
  int fd = -1;
  uint64_t serial = 0;  // tells it from an earlier one with the same descriptor
  std::string head;     // of the request that is being read
  uint64_t body_left = 0;
  bool in_body = false;
  std::string out;  // what the socket did not take yet
  uint64_t filler_left = 0;
  int64_t interval = 0;  // between two events; 0: no stream
  int64_t events_left = 0;
};

class Backend {
 public:
  explicit Backend(int port) : listener_(Listen(port, &port_)) {
    epoll_.Add(listener_, nullptr);
    epoll_.Add(STDIN_FILENO, &stdin_);
    std::printf("%d\n", port_);
    std::fflush(stdout);
  }

  void Run() {
    while (true) {
      const int64_t until = due_.empty() ? -1 : due_.top().at;
      epoll_.Wait(until, [this](void* context, uint32_t events) {
        if (context == nullptr) return Accept();
        if (context == &stdin_) std::exit(0);
        OnReady(*static_cast<Connection*>(context), events);
      });
      closed_.clear();
      SendEvents();
    }
  }

 private:
  struct Due {
    int64_t at;
    int fd;
    uint64_t serial;
    bool operator<(const Due& other) const { return at > other.at; }  // the first on top
  };

  void Accept() {
    while (true) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd < 0 && errno == EAGAIN) return;
      if (fd < 0) Die("accept");
      auto connection = std::make_unique<Connection>();
      connection->fd = fd;
      connection->serial = ++serials_;
      epoll_.Add(fd, connection.get());
      connections_[fd] = std::move(connection);
    }
  }

  void Close(Connection& connection) {
    const auto found = connections_.find(connection.fd);
    ::close(connection.fd);
    connection.fd = -1;
    closed_.push_back(std::move(found->second));  // an event for it may still be at hand
    connections_.erase(found);
  }

  void OnReady(Connection& connection, uint32_t events) {
    if (connection.fd >= 0 && (events & EPOLLOUT) != 0 && !Flush(connection)) return;
    while (connection.fd >= 0) {
      const ssize_t got = ::read(connection.fd, input.data(), input.size());
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return Close(connection);
      Read(connection, {input.data(), static_cast<size_t>(got)});
    }
  }

  void Read(Connection& connection, std::string_view bytes) {
    while (connection.fd >= 0 && !bytes.empty()) {
      if (!connection.in_body) {
        const size_t before = connection.head.size();
        connection.head.append(bytes);
        const size_t end = connection.head.find("\r\n\r\n");
        if (end == std::string::npos) return;
        bytes.remove_prefix(end + 4 - before);
        connection.head.resize(end + 4);
        const std::string length(FieldOf(connection.head, "content-length"));
        connection.body_left = std::strtoull(length.c_str(), nullptr, 10);
        connection.in_body = true;
      }
      const size_t taken = std::min<uint64_t>(connection.body_left, bytes.size());
      bytes.remove_prefix(taken);
      connection.body_left -= taken;
      if (connection.body_left > 0) return;
      connection.in_body = false;
      Respond(connection);
      connection.head.clear();
    }
  }

  void Respond(Connection& connection) {
    const std::string_view head = connection.head;
    if (head.substr(0, 4) == "GET ") return Write(connection, health);
    if (const std::optional<int64_t> rate = Parameter(head, "sse")) {
      connection.events_left = Parameter(head, "events").value_or(int64_t{1} << 60) - 1;
      connection.interval = *rate > 0 ? 1'000'000'000 / *rate : 0;
      Write(connection, std::string(kStreamHead) + Event());
      if (connection.interval > 0) {
        // Streams that were begun together do not go on together.
        const auto phase = static_cast<int64_t>(random_() % connection.interval);
        due_.push({Now() + phase, connection.fd, connection.serial});
      }
      return;
    }
    if (const std::optional<int64_t> bytes = Parameter(head, "bytes")) {
      connection.filler_left = static_cast<uint64_t>(*bytes);
      return Write(connection,
                   "HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: video/mp4\r\n"
                   "content-length: " +
                       std::to_string(*bytes) + "\r\n\r\n");
    }
    Write(connection, completion);
  }

  void Write(Connection& connection, std::string_view text) {
    if (connection.fd < 0) return;
    connection.out.append(text);
    Flush(connection);
  }

  // False: the connection was closed.
  bool Flush(Connection& connection) {
    while (!connection.out.empty() || connection.filler_left > 0) {
      const bool is_filler = connection.out.empty();
      const std::string_view next =
          is_filler ? std::string_view(filler).substr(0, connection.filler_left) : connection.out;
      const ssize_t sent = ::send(connection.fd, next.data(), next.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) return true;
      if (sent < 0) {
        Close(connection);
        return false;
      }
      if (is_filler) {
        connection.filler_left -= static_cast<uint64_t>(sent);
      } else {
        connection.out.erase(0, static_cast<size_t>(sent));
      }
    }
    return true;
  }

  void SendEvents() {
    while (!due_.empty() && due_.top().at <= Now()) {
      const Due due = due_.top();
      due_.pop();
      const auto found = connections_.find(due.fd);
      if (found == connections_.end() || found->second->serial != due.serial) continue;
      Connection& connection = *found->second;
      if (connection.events_left-- > 0) {
        due_.push({due.at + connection.interval, due.fd, due.serial});
        Write(connection, Event());
      } else {
        Write(connection, Chunk("data: [DONE]\n\n") + "0\r\n\r\n");
      }
    }
    closed_.clear();
  }

  Epoll epoll_;
  int port_ = 0;
  const int listener_;
  char stdin_ = 0;
  uint64_t serials_ = 0;
  std::unordered_map<int, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> closed_;
  std::priority_queue<Due> due_;
  std::minstd_rand random_{1};  // the same in every run
};

}  // namespace
}  // namespace tao::bench

int main(int argc, char** argv) {
  tao::bench::Flags flags(argc, argv);
  const int port = static_cast<int>(flags.Number("port", 0));
  flags.CheckAll();
  tao::bench::Backend(port).Run();
}
