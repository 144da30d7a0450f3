#pragma once

// A bounded pool of threads for calls that block (drivers, preflights). Thread-safe.

#include <absl/functional/any_invocable.h>

#include <deque>
#include <thread>
#include <vector>

#include "server/base/mutex.h"

namespace tao::base {

class WorkPool {
 public:
  using Task = absl::AnyInvocable<void()>;

  explicit WorkPool(int threads, size_t max_queued);
  // Runs what is queued to its end, then joins. Tasks that may take long must watch a stop flag.
  ~WorkPool();

  // False when `max_queued` tasks already wait: tell the caller to retry (ResourceExhausted).
  [[nodiscard]] bool TryPost(Task task);
  // For work that must not be lost (the second half of an accepted Start): queues without a limit.
  void Post(Task task);

 private:
  void Run();

  const size_t max_queued_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tao::base
