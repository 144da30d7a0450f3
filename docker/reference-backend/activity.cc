#include "docker/reference-backend/activity.h"

#include <algorithm>

namespace tao::reference_backend {

Activity::Request::Request(Activity& activity) : activity_(activity) {
  const std::lock_guard lock(activity_.mutex_);
  ++activity_.running_;
  activity_.last_request_ = activity_.Elapsed();
}

Activity::Request::~Request() {
  const std::lock_guard lock(activity_.mutex_);
  --activity_.running_;
  activity_.last_request_ = activity_.Elapsed();
}

Milliseconds Activity::Elapsed() const {
  return std::chrono::duration_cast<Milliseconds>(Steady::now() - start_);
}

Activity::System::time_point Activity::TimeAt(Milliseconds elapsed) const {
  return start_time_ + elapsed;
}

Milliseconds Activity::IdleSince(Milliseconds ready_at) const {
  const std::lock_guard lock(mutex_);
  if (running_ > 0) return Milliseconds(0);
  return std::max(Milliseconds(0), Elapsed() - std::max(last_request_, ready_at));
}

Activity::System::time_point Activity::LastRequest() const {
  const std::lock_guard lock(mutex_);
  return TimeAt(last_request_);
}

int64_t Activity::CountChat() {
  const std::lock_guard lock(mutex_);
  return ++chats_;
}

}  // namespace tao::reference_backend
