#include "gateway/transport/deadline_wheel.h"

#include <time.h>

#include <algorithm>
#include <utility>

namespace tao::transport {

Deadline::Deadline(DeadlineWheel& wheel, absl::AnyInvocable<void()> on_expiry)
    : wheel_(wheel), on_expiry_(std::move(on_expiry)) {}

Deadline::~Deadline() { Unlink(); }

void Deadline::Arm(absl::Duration at) {
  at_ = at;
  if (at == absl::InfiniteDuration()) return;  // the next look takes it out
  // Looked at early enough as it is: that look will find the new time.
  if (link_ != nullptr && tick_ <= DeadlineWheel::TickOf(at)) return;
  Unlink();
  wheel_.Link(*this);
}

void Deadline::Unlink() {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  next_ = nullptr;
  link_ = nullptr;
  --wheel_.linked_;
}

DeadlineWheel::DeadlineWheel(EventLoop& loop) : loop_(loop) {
  loop_.SetTicker([this] {
    ticking_ = false;
    OnTick();
  });
}

absl::Duration DeadlineWheel::Now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return absl::DurationFromTimespec(now);
}

// The first tick that is not before `at`.
int64_t DeadlineWheel::TickOf(absl::Duration at) {
  absl::Duration rest;
  const int64_t ticks = absl::IDivDuration(at, kTick, &rest);
  return rest > absl::ZeroDuration() ? ticks + 1 : ticks;
}

int64_t DeadlineWheel::LastTick(absl::Duration now) {
  absl::Duration rest;
  return absl::IDivDuration(now, kTick, &rest);
}

void DeadlineWheel::Link(Deadline& deadline) {
  if (linked_ == 0 && !ticking_) tick_ = LastTick(Now());  // the wheel stood still
  deadline.tick_ = std::clamp(TickOf(deadline.at_), tick_ + 1, tick_ + kSlots - 1);
  Deadline*& slot = slots_[static_cast<size_t>(deadline.tick_ % kSlots)];
  deadline.next_ = slot;
  deadline.link_ = &slot;
  if (slot != nullptr) slot->link_ = &deadline.next_;
  slot = &deadline;
  ++linked_;
  if (!ticking_) ScheduleTick();
}

void DeadlineWheel::ScheduleTick() {
  ticking_ = true;
  loop_.TickAt(After(kTick));
}

void DeadlineWheel::OnTick() {
  const absl::Duration now = Now();
  const int64_t now_tick = LastTick(now);
  // After a pause longer than a round every slot is looked at once.
  tick_ = std::max(tick_, now_tick - kSlots);
  while (tick_ < now_tick) {
    ++tick_;
    Deadline*& slot = slots_[static_cast<size_t>(tick_ % kSlots)];
    due_ = std::exchange(slot, nullptr);
    if (due_ != nullptr) due_->link_ = &due_;
    while (due_ != nullptr) {
      Deadline& deadline = *due_;
      deadline.Unlink();
      if (deadline.at_ == absl::InfiniteDuration()) continue;
      if (deadline.at_ > now) {
        Link(deadline);
        continue;
      }
      deadline.at_ = absl::InfiniteDuration();
      deadline.on_expiry_();
    }
  }
  if (linked_ > 0 && !ticking_) ScheduleTick();
}

}  // namespace tao::transport
