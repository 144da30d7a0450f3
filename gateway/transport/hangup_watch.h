#pragma once

// Tells at once when a client has gone, whatever the gateway is doing for it at that moment. A FIN
// behind unread bytes (a stalled upload, pipelined requests) shows in no read; EPOLLRDHUP shows it.
// One epoll instance for each worker, inside the worker's own: one system call a connection, none a
// request.
//
// Worker thread only.

#include <absl/container/flat_hash_map.h>
#include <absl/functional/any_invocable.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstdint>

#include "gateway/transport/asio.h"

namespace tao::transport {

class HangupWatch {
 public:
  explicit HangupWatch(net::io_context& io);
  HangupWatch(const HangupWatch&) = delete;
  HangupWatch& operator=(const HangupWatch&) = delete;

  // Watches one socket; destroy it before the socket is closed.
  class Watched {
   public:
    // `on_hangup` runs once, when the peer's FIN or reset arrives, or never.
    Watched(HangupWatch& watch, int fd, absl::AnyInvocable<void()> on_hangup);
    ~Watched();
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;

   private:
    friend class HangupWatch;
    HangupWatch& watch_;
    const int fd_;
    const uint64_t id_;
    absl::AnyInvocable<void()> on_hangup_;
  };

  // Ends the waiting, so that the event loop can run dry.
  void Close();

 private:
  void Wait();
  void OnEvents();

  net::posix::basic_stream_descriptor<Executor> epoll_;
  absl::flat_hash_map<uint64_t, Watched*> watched_;  // by id: events may outlive their socket
  uint64_t next_id_ = 1;
};

}  // namespace tao::transport
