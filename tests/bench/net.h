#pragma once

// What the benchmark's backend and load generator share: time, sockets, flags, and as much of HTTP
// as a program needs whose counterparts are known to be well behaved. Whatever goes wrong ends the
// program: a figure of a run with errors is none.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tao::bench {

// Prints `what` and errno, and exits with 1.
[[noreturn]] void Die(std::string_view what);

// CLOCK_MONOTONIC, in nanoseconds.
int64_t Now();

// --name=value arguments; --name alone is "1". Every name must be asked for: Unknown() is the first
// that nobody asked for.
class Flags {
 public:
  Flags(int argc, char** argv);
  std::string Text(const std::string& name, const std::string& fallback);
  int64_t Number(const std::string& name, int64_t fallback);
  // Ends the program if an argument is none of those that were asked for.
  void CheckAll() const;

 private:
  std::map<std::string, std::string> values_;
  std::map<std::string, bool> asked_;
};

// Listens on 127.0.0.1; port 0 takes a free one.
int Listen(int port, int* bound);
// Connects, blocking, and makes the socket non-blocking.
int ConnectTo(int port);

// An epoll instance, edge-triggered: who is told reads or writes until EAGAIN.
class Epoll {
 public:
  Epoll();
  void Add(int fd, void* context);
  // Calls visit(context, events) for what has happened; waits until `until` at most (a time of
  // Now(); negative: for ever).
  template <typename Visitor>
  void Wait(int64_t until, Visitor visit) {
    const int count = WaitFor(until);
    for (int i = 0; i < count; ++i) visit(Context(i), Events(i));
  }

 private:
  int WaitFor(int64_t until);
  void* Context(int index) const;
  uint32_t Events(int index) const;

  int fd_;
};

// The value of a header field in `head`; empty when it is not there.
std::string_view FieldOf(std::string_view head, std::string_view name);

// Takes chunked coding apart, as it comes. No extensions, no trailers.
class Dechunker {
 public:
  // Appends the data in `bytes` to `out`. Returns whether the last chunk has been seen.
  bool Feed(std::string_view bytes, std::string* out);
  void Reset() { *this = Dechunker(); }

 private:
  enum class State { kSize, kData, kDataEnd, kLastEnd };
  State state_ = State::kSize;
  std::string line_;
  uint64_t left_ = 0;
};

}  // namespace tao::bench
