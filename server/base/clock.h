#pragma once

// Time as a dependency, so that tests move it (tests/fakes/fake_clock.h). Thread-safe.

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <string>

namespace tao::base {

class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time: what is written to files and shown to people. It may jump; never measure with it.
  virtual absl::Time Now() const = 0;
  // Time since an arbitrary start that never goes back (CLOCK_MONOTONIC): for limits and intervals.
  virtual absl::Duration Monotonic() const = 0;
};

// The process's real clock; lives for ever.
const Clock& RealClock();

// "2026-11-23T09:26:06Z", UTC with whole seconds: how times stand in our files and answers.
std::string FormatUtc(absl::Time time);

}  // namespace tao::base
