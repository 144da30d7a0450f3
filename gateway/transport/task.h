#pragma once

// What a coroutine of the gateway returns, and where its frame comes from. Its parameters are
// values, or references to what outlives it.
//
// A task starts when it is awaited, on the spot; one that ends without having waited for anything
// gives its result to its caller without a turn of the event loop, and without deepening the stack
// however often that happens. Nothing is thrown through a task: what escapes one is lack of memory
// or a broken invariant, and ends the process.
//
// Instead of Asio's awaitable, which moves every step through the loop's queue, and every frame
// through the heap beyond the first two (docs/performance.md has what that costs).
//
// GCC 12 destroys some temporaries of a co_await expression twice: an aggregate or a capturing
// lambda is given a name on the line before, and moved in.

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>

namespace tao::transport {

// Memory of coroutine frames: kept by size, by the thread that gave it back, for the next one. A
// request runs through some twenty frames of a dozen sizes.
class FramePool {
 public:
  static void* Allocate(size_t bytes);
  static void Free(void* frame, size_t bytes);
};

template <typename T>
class Task;

namespace internal {

class PromiseBase {
 public:
  // The end. A task that nobody awaits goes on to its own destruction; one that is just being
  // started is looked at by its starter; else the awaiter goes on.
  struct Final {
    bool detached;
    bool await_ready() const noexcept { return detached; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
      const std::coroutine_handle<> awaiter = ended.promise().awaiter();
      return awaiter ? awaiter : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };

  static void* operator new(size_t bytes) { return FramePool::Allocate(bytes); }
  static void operator delete(void* frame, size_t bytes) { FramePool::Free(frame, bytes); }

  std::suspend_always initial_suspend() noexcept { return {}; }
  Final final_suspend() noexcept { return Final{detached_}; }
  void unhandled_exception() noexcept { std::terminate(); }

  std::coroutine_handle<> awaiter() const { return awaiter_; }

 private:
  template <typename T>
  friend class transport::Task;

  std::coroutine_handle<> awaiter_;  // null until the task has first waited
  bool detached_ = false;
};

template <typename T>
class Promise : public PromiseBase {
 public:
  Task<T> get_return_object();
  template <typename Value>
  void return_value(Value&& value) {
    value_.emplace(std::forward<Value>(value));
  }
  T Take() { return *std::move(value_); }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() noexcept {}
  void Take() {}
};

}  // namespace internal

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;

  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  // False: it has ended already, and the caller goes on at once.
  bool await_suspend(std::coroutine_handle<> awaiter) {
    coroutine_.resume();
    if (coroutine_.done()) return false;
    coroutine_.promise().awaiter_ = awaiter;
    return true;
  }
  T await_resume() { return coroutine_.promise().Take(); }

  // Lets it run on its own, from here on.
  void Detach() && {
    coroutine_.promise().detached_ = true;
    std::exchange(coroutine_, nullptr).resume();
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

namespace internal {

template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace internal
}  // namespace tao::transport
