#pragma once

// Lets one coroutine of a worker wait for another part of the same worker. Worker thread only.

#include <absl/functional/any_invocable.h>

#include "gateway/transport/asio.h"

namespace tao::transport {

class Signal {
 public:
  explicit Signal(Executor executor) : executor_(executor) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  // Wakes the waiter from the event loop, and lets every later Wait pass, until Clear.
  void Set();
  void Clear() { set_ = false; }
  bool is_set() const { return set_; }

  // One waiter at a time. The signal outlives the wait.
  Task<void> Wait();

 private:
  Executor executor_;
  absl::AnyInvocable<void()> waiter_;
  bool set_ = false;
};

}  // namespace tao::transport
