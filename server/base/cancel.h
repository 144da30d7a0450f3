#pragma once

// One flag that says "stop what you do": set once, by any thread, seen by whoever blocks.
// Thread-safe.

#include <absl/time/time.h>

#include <atomic>

namespace tao::base {

class CancelToken {
 public:
  CancelToken();
  ~CancelToken();
  CancelToken(const CancelToken&) = delete;
  CancelToken& operator=(const CancelToken&) = delete;

  void Cancel();
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  // An eventfd that is readable once cancelled: poll it beside what you wait for. Never read it.
  int fd() const { return fd_; }

 private:
  std::atomic<bool> cancelled_ = false;
  int fd_ = -1;
};

// Waits for `wait` at most; true when `token` has fired.
bool CancelledWithin(const CancelToken& token, absl::Duration wait);

}  // namespace tao::base
