#pragma once

// The only mutex of this project: absl::Mutex, with the happens-before edges told to ThreadSanitizer.
// Debian's Abseil is not instrumented, and without them TSan reports false races. Held for a few
// lines, never across I/O, a callback or a co_await.

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#if defined(__SANITIZE_THREAD__)
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#define TAO_TSAN_ACQUIRE(address) __tsan_acquire(address)
#define TAO_TSAN_RELEASE(address) __tsan_release(address)
#else
#define TAO_TSAN_ACQUIRE(address) static_cast<void>(address)
#define TAO_TSAN_RELEASE(address) static_cast<void>(address)
#endif

namespace tao::base {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    mutex_.Lock();
    TAO_TSAN_ACQUIRE(this);
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    TAO_TSAN_RELEASE(this);
    mutex_.Unlock();
  }

 private:
  friend class CondVar;
  absl::Mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits are loops: `while (!condition) changed.Wait(mutex);`.
class CondVar {
 public:
  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  void Wait(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    TAO_TSAN_RELEASE(&mutex);
    condition_.Wait(&mutex.mutex_);
    TAO_TSAN_ACQUIRE(&mutex);
  }
  // True when `timeout` has passed.
  bool WaitWithTimeout(Mutex& mutex, absl::Duration timeout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    TAO_TSAN_RELEASE(&mutex);
    const bool timed_out = condition_.WaitWithTimeout(&mutex.mutex_, timeout);
    TAO_TSAN_ACQUIRE(&mutex);
    return timed_out;
  }
  void Signal() { condition_.Signal(); }
  void SignalAll() { condition_.SignalAll(); }

 private:
  absl::CondVar condition_;
};

}  // namespace tao::base
