#pragma once

// A base::Clock that moves only when the test says so. Thread-safe.

#include <absl/time/time.h>

#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace tao::fakes {

class FakeClock : public base::Clock {
 public:
  // 2026-01-02T03:04:05Z: a time that FormatUtc shows in full, and that no other default equals.
  static absl::Time DefaultStart() { return absl::FromUnixSeconds(1767323045); }

  explicit FakeClock(absl::Time now = DefaultStart()) : now_(now) {}

  absl::Time Now() const override {
    base::MutexLock lock(mutex_);
    return now_;
  }
  absl::Duration Monotonic() const override {
    base::MutexLock lock(mutex_);
    return monotonic_;
  }

  // Time passes: both clocks move. `step` is not negative.
  void Advance(absl::Duration step) {
    base::MutexLock lock(mutex_);
    now_ += step;
    monotonic_ += step;
  }

  // Somebody sets the machine's clock: wall time jumps, even back; the monotonic clock does not.
  void SetNow(absl::Time now) {
    base::MutexLock lock(mutex_);
    now_ = now;
  }

 private:
  mutable base::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  absl::Duration monotonic_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(1000);
};

}  // namespace tao::fakes
