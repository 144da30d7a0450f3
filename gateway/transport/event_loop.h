#pragma once

// A worker's event loop: one epoll instance, edge-triggered. A descriptor is registered once, for
// everything, and from then on costs no system call but its reads and writes: who is told that it
// has become readable remembers so until a read shows that it no longer is (connection.h).
//
// Loop thread only, but for Post.

#include <absl/functional/any_invocable.h>
#include <absl/time/time.h>
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <utility>
#include <vector>

#include "gateway/transport/task.h"
#include "server/base/mutex.h"

namespace tao::transport {

class EventLoop {
 public:
  // Whom the loop tells of a descriptor.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    // What epoll found; 0 after Again. May destroy any watcher, this one too.
    virtual void OnEvents(uint32_t events) = 0;

   private:
    friend class EventLoop;
    bool again_ = false;
  };

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Registers `fd` for `events`, edge-triggered. False for lack of kernel memory or watches; errno
  // says which.
  bool Add(int fd, uint32_t events, Watcher* watcher);
  // Before `fd` is closed. `watcher` hears of nothing that was found before; what it asked for by
  // Again still comes.
  void Remove(int fd, Watcher* watcher);
  // `watcher` is called with 0 soon, and not on the spot. It must be forgotten before it is
  // destroyed.
  void Again(Watcher* watcher);
  void Forget(Watcher* watcher);
  // Resumes `coroutine` soon, and not on the spot.
  void Resume(std::coroutine_handle<> coroutine) { to_resume_.push_back(coroutine); }

  // `ticker` is called once, at `at` (a time of CLOCK_MONOTONIC) or some milliseconds later.
  void SetTicker(absl::AnyInvocable<void()> ticker) { ticker_ = std::move(ticker); }
  void TickAt(absl::Duration at) { tick_at_ = at; }

  // From any thread: runs `task` in the loop, after everything posted before, and before anything
  // that the loop hears of later.
  void Post(absl::AnyInvocable<void()> task) {
    Enqueue(std::move(task));
    Wake();
  }
  // The two halves of Post, for who tells several loops: each knows its task before any acts on it.
  void Enqueue(absl::AnyInvocable<void()> task);
  void Wake();

  // Until Stop.
  void Run();
  void Stop() { stopped_ = true; }
  // Tasks wait that were posted before now: what was read now is for after them.
  bool has_posted() const { return has_posted_.load(std::memory_order_acquire); }
  // One turn, which waits for `limit` at most. For tests.
  void RunOnce(absl::Duration limit);
  // Tells turns apart.
  uint64_t turn() const { return turn_; }
  // Other descriptors wait to be dealt with before those that asked for Again.
  bool has_more() const { return next_found_ < found_count_ && next_found_ % kBatch != 0; }

 private:
  // Descriptors that are dealt with before those that asked for Again have their turn. What writers
  // gain by going together they have gained by then, and nobody waits for hundreds of others.
  static constexpr int kBatch = 16;

  int TimeoutOf(absl::Duration limit) const;
  void RunAgain();
  void RunPosted();

  const int epoll_;
  const int wake_up_;  // an eventfd
  std::array<epoll_event, 256> found_;
  int found_count_ = 0;
  int next_found_ = 0;
  std::vector<Watcher*> again_;  // null: forgotten
  std::vector<std::coroutine_handle<>> to_resume_;
  absl::AnyInvocable<void()> ticker_;
  absl::Duration tick_at_ = absl::InfiniteDuration();
  uint64_t turn_ = 0;
  bool stopped_ = false;

  std::atomic<bool> has_posted_ = false;
  base::Mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mutex_);
};

// Lets `task` run on its own, from here on.
inline void Spawn(EventLoop&, Task<void> task) { std::move(task).Detach(); }

}  // namespace tao::transport
