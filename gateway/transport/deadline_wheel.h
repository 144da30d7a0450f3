#pragma once

// A worker's timers. Every read and write has a deadline, and nearly none is ever reached, so a
// deadline costs two stores to set and to lift; one tick of the wheel looks at those that are due.
// A deadline fires within a tick after its time, never before.
//
// Worker thread only.

#include <absl/functional/any_invocable.h>
#include <absl/time/time.h>

#include <array>
#include <cstdint>

#include "gateway/transport/event_loop.h"

namespace tao::transport {

class DeadlineWheel;

// One timer. Destroying it disarms it.
class Deadline {
 public:
  // `on_expiry` runs from the event loop, once for each time the deadline passes; it may re-arm or
  // destroy any deadline.
  Deadline(DeadlineWheel& wheel, absl::AnyInvocable<void()> on_expiry);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  // Replaces the time set before. absl::InfiniteDuration() never comes.
  void Arm(absl::Duration at);
  void Disarm() { at_ = absl::InfiniteDuration(); }

 private:
  friend class DeadlineWheel;

  void Unlink();

  DeadlineWheel& wheel_;
  absl::AnyInvocable<void()> on_expiry_;
  absl::Duration at_ = absl::InfiniteDuration();
  int64_t tick_ = 0;           // when the wheel looks at it next; may be before `at_`
  Deadline* next_ = nullptr;   // in its slot
  Deadline** link_ = nullptr;  // what points to this one; null when it is in no slot
};

class DeadlineWheel {
 public:
  static constexpr absl::Duration kTick = absl::Milliseconds(50);

  explicit DeadlineWheel(EventLoop& loop);
  DeadlineWheel(const DeadlineWheel&) = delete;
  DeadlineWheel& operator=(const DeadlineWheel&) = delete;

  // Monotonic time since an arbitrary start, some milliseconds coarse. What Arm takes.
  static absl::Duration Now();
  static absl::Duration After(absl::Duration limit) { return Now() + limit; }

  EventLoop& loop() { return loop_; }
  // No deadline is armed, nor was since the last tick.
  bool is_still() const { return linked_ == 0 && !ticking_; }

 private:
  friend class Deadline;
  static constexpr int64_t kSlots = 1024;  // 51 s; later deadlines are looked at once a round

  static int64_t TickOf(absl::Duration at);
  static int64_t LastTick(absl::Duration now);
  void Link(Deadline& deadline);
  void ScheduleTick();
  void OnTick();

  EventLoop& loop_;
  std::array<Deadline*, kSlots> slots_ = {};
  Deadline* due_ = nullptr;  // taken out of their slot, not looked at yet
  int64_t tick_ = 0;         // every slot up to this one has been emptied
  size_t linked_ = 0;
  bool ticking_ = false;
};

}  // namespace tao::transport
