#pragma once

// What tests wait for, instead of sleeping. Thread-safe.

#include <absl/time/time.h>

#include "server/base/mutex.h"

namespace tao {

// How long any test waits for anything.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr absl::Duration kTestLimit = absl::Seconds(30);  // instrumented code, two cores
#else
inline constexpr absl::Duration kTestLimit = absl::Seconds(5);
#endif

class Event {
 public:
  void Set() {
    base::MutexLock lock(mutex_);
    set_ = true;
    changed_.SignalAll();
  }
  // False after kTestLimit: EXPECT_TRUE(event.Wait()).
  [[nodiscard]] bool Wait() {
    base::MutexLock lock(mutex_);
    while (!set_) {
      if (changed_.WaitWithTimeout(mutex_, kTestLimit)) break;
    }
    return set_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  bool set_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tao
