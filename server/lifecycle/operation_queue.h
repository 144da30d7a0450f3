#pragma once

// Runs the operations of one service one after another, in the order they were posted, and those of
// different services at the same time, on a pool of its own. Stop therefore needs no lock against
// Start: it cancels it and queues behind it. Thread-safe.

#include <absl/functional/any_invocable.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "server/base/cancel.h"
#include "server/base/mutex.h"
#include "server/base/work_pool.h"

namespace tao::lifecycle {

class OperationQueue {
 public:
  // `cancel` fires when the operation should give up: a later operation took over, or shutdown.
  using Operation = absl::AnyInvocable<void(const base::CancelToken& cancel)>;

  explicit OperationQueue(int threads);
  // Cancels everything, lets what runs end, drops what waits.
  ~OperationQueue();

  void Post(std::string_view job_id, Operation operation);
  // Cancels the operation of `job_id` that runs now and those that wait; they still run, cancelled,
  // so that they can put things in order.
  void CancelCurrent(std::string_view job_id);
  // After this, Post drops what it is given, and everything that runs is cancelled.
  void Shutdown();
  // Blocks until nothing of `job_id` runs or waits. For tests and orderly exits.
  void WaitIdle(std::string_view job_id);

 private:
  struct Entry {
    std::shared_ptr<base::CancelToken> cancel;
    Operation operation;
  };
  struct Job {
    std::deque<Entry> waiting;
    std::shared_ptr<base::CancelToken> running;  // null when none runs
  };

  void RunNext(const std::string& job_id);

  base::Mutex mutex_;
  base::CondVar idle_;
  std::map<std::string, Job, std::less<>> jobs_ ABSL_GUARDED_BY(mutex_);
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  base::WorkPool pool_;  // last: its destructor runs what is queued, with everything above alive
};

}  // namespace tao::lifecycle
