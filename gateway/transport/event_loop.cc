#include "gateway/transport/event_loop.h"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

namespace tao::transport {
namespace {

absl::Duration CoarseNow() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace

EventLoop::EventLoop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_up_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  // Without descriptors for its own loop a worker cannot exist.
  if (epoll_ < 0 || wake_up_ < 0 || !Add(wake_up_, EPOLLIN, nullptr)) std::abort();
}

EventLoop::~EventLoop() {
  ::close(wake_up_);
  ::close(epoll_);
}

bool EventLoop::Add(int fd, uint32_t events, Watcher* watcher) {
  epoll_event event = {};
  event.events = events | EPOLLET;
  event.data.ptr = watcher;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void EventLoop::Remove(int fd, Watcher* watcher) {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  for (int i = 0; i < found_count_; ++i) {
    epoll_event& event = found_[static_cast<size_t>(i)];
    if (event.data.ptr == watcher) event.events = 0;
  }
}

void EventLoop::Again(Watcher* watcher) {
  if (std::exchange(watcher->again_, true)) return;
  again_.push_back(watcher);
}

void EventLoop::Forget(Watcher* watcher) {
  if (!std::exchange(watcher->again_, false)) return;
  std::replace(again_.begin(), again_.end(), watcher, static_cast<Watcher*>(nullptr));
}

void EventLoop::Enqueue(absl::AnyInvocable<void()> task) {
  base::MutexLock lock(mutex_);
  posted_.push_back(std::move(task));
  has_posted_.store(true, std::memory_order_release);
}

void EventLoop::Wake() {
  const uint64_t one = 1;
  // Fails only where the counter is full, and then it is set.
  static_cast<void>(::write(wake_up_, &one, sizeof(one)) == sizeof(one));
}

void EventLoop::Run() {
  while (!stopped_) RunOnce(absl::InfiniteDuration());
}

int EventLoop::TimeoutOf(absl::Duration limit) const {
  if (!again_.empty() || !to_resume_.empty()) return 0;
  absl::Duration left = limit;
  if (tick_at_ != absl::InfiniteDuration()) left = std::min(left, tick_at_ - CoarseNow());
  if (left == absl::InfiniteDuration()) return -1;
  return static_cast<int>(
      std::max<int64_t>(0, absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
}

void EventLoop::RunOnce(absl::Duration limit) {
  ++turn_;
  found_count_ =
      ::epoll_wait(epoll_, found_.data(), static_cast<int>(found_.size()), TimeoutOf(limit));
  // What was posted goes first: a drain that began before a request came is known to it.
  if (has_posted()) RunPosted();
  next_found_ = 0;
  while (next_found_ < found_count_) {
    const epoll_event event = found_[static_cast<size_t>(next_found_++)];
    // The loop was woken, or one of those before has removed it.
    if (event.data.ptr == nullptr || event.events == 0) continue;
    static_cast<Watcher*>(event.data.ptr)->OnEvents(event.events);
    if (next_found_ % kBatch == 0) {
      if (has_posted()) RunPosted();
      RunAgain();
    }
  }
  found_count_ = next_found_ = 0;
  if (tick_at_ != absl::InfiniteDuration() && CoarseNow() >= tick_at_) {
    tick_at_ = absl::InfiniteDuration();
    ticker_();
  }
  if (has_posted()) RunPosted();
  RunAgain();
}

void EventLoop::RunAgain() {
  // What they put there is for the next time.
  const size_t again_count = again_.size();
  for (size_t i = 0; i < again_count; ++i) {
    Watcher* const watcher = std::exchange(again_[i], nullptr);
    if (watcher == nullptr) continue;
    watcher->again_ = false;
    watcher->OnEvents(0);
  }
  again_.erase(again_.begin(), again_.begin() + static_cast<ptrdiff_t>(again_count));
  const size_t resume_count = to_resume_.size();
  for (size_t i = 0; i < resume_count; ++i) to_resume_[i].resume();
  to_resume_.erase(to_resume_.begin(), to_resume_.begin() + static_cast<ptrdiff_t>(resume_count));
}

void EventLoop::RunPosted() {
  std::vector<absl::AnyInvocable<void()>> tasks;
  {
    base::MutexLock lock(mutex_);
    tasks.swap(posted_);
    has_posted_.store(false, std::memory_order_relaxed);
  }
  for (absl::AnyInvocable<void()>& task : tasks) task();
}

}  // namespace tao::transport
