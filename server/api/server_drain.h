#pragma once

// Tells the streams that have no end of their own that the server ends. Thread-safe.

#include <atomic>
#include <memory>
#include <vector>

#include "server/base/mutex.h"

namespace tao::api {

// A stream that ends, or says something, when the server drains.
class DrainListener {
 public:
  virtual ~DrainListener() = default;
  // Once, from any thread; must not block.
  virtual void OnServerDrain() = 0;
};

class ServerDrain {
 public:
  // Told at once when the drain has begun already.
  void Add(const std::shared_ptr<DrainListener>& listener);
  // A second call does nothing.
  void Begin();
  bool begun() const { return begun_.load(std::memory_order_acquire); }

 private:
  base::Mutex mutex_;
  std::atomic<bool> begun_ = false;  // written under mutex_
  std::vector<std::weak_ptr<DrainListener>> listeners_ ABSL_GUARDED_BY(mutex_);
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) =
      64;  // listeners that are gone are dropped at this size
};

}  // namespace tao::api
