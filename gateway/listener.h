#pragma once

// Takes new connections. Each worker has a listening socket of its own for the same address
// (SO_REUSEPORT), and the kernel spreads the connections over them.

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/transport/asio.h"
#include "gateway/transport/deadline_wheel.h"

namespace tao::gateway {

struct ListeningSockets {
  std::vector<int> fds;  // owned by the caller
  std::string address;   // as it can be dialled: "127.0.0.1:8000"
  uint16_t port = 0;
};

// For error messages: who listens, and which flag says where.
struct ListeningFor {
  std::string_view who = "gateway";
  std::string_view flag = "--gateway-listen";
};

// Opens `count` listening sockets for one address, HOST:PORT. Blocks while HOST is looked up.
// InvalidArgument: no such address; FailedPrecondition: it cannot be bound, and what to do.
absl::StatusOr<ListeningSockets> OpenListeningSockets(const std::string& listen, size_t count,
                                                      const ListeningFor& purpose = {});

// Worker thread only.
class Listener : private transport::EventLoop::Watcher {
 public:
  using OnConnection =
      absl::AnyInvocable<void(transport::TcpSocket, const transport::net::ip::address& client)>;

  // Takes over `fd`. Every connection is given to `on_connection`, from the event loop.
  Listener(transport::EventLoop& io, transport::DeadlineWheel& wheel, int fd,
           OnConnection on_connection);

  ~Listener() override { Close(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void Start();
  // Takes what has already arrived, then closes.
  void Stop();

 private:
  void OnEvents(uint32_t) override { Accept(kAcceptedInTurn); }
  void Accept(int most);
  void Close();

  // A flood of connections must not keep those that are there from their turn.
  static constexpr int kAcceptedInTurn = 64;

  transport::EventLoop& io_;
  int fd_;  // -1 once it is closed
  OnConnection on_connection_;
  transport::Deadline retry_;
  bool failing_ = false;  // and the log says so
};

}  // namespace tao::gateway
