#pragma once

// Lets one coroutine of a worker wait for another part of the same worker. Worker thread only.

#include <coroutine>

#include "gateway/transport/event_loop.h"

namespace tao::transport {

class Signal {
 public:
  explicit Signal(EventLoop& loop) : loop_(loop) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  // Wakes the waiter from the event loop, and lets every later Wait pass, until Clear.
  void Set();
  void Clear() { set_ = false; }
  bool is_set() const { return set_; }

  class Waiting {
   public:
    explicit Waiting(Signal& signal) : signal_(signal) {}
    bool await_ready() const { return signal_.set_; }
    void await_suspend(std::coroutine_handle<> waiter) { signal_.waiter_ = waiter; }
    void await_resume() const {}

   private:
    Signal& signal_;
  };
  // co_await it. One waiter at a time. The signal outlives the wait.
  [[nodiscard]] Waiting Wait() { return Waiting(*this); }

 private:
  EventLoop& loop_;
  std::coroutine_handle<> waiter_;
  bool set_ = false;
};

}  // namespace tao::transport
