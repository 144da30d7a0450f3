#pragma once

// When the container was started and last used: what its liveness shows, and what its idle shutdown
// goes by. Thread-safe.

#include <chrono>
#include <cstdint>
#include <mutex>

#include "docker/reference-backend/behaviour.h"

namespace tao::reference_backend {

class Activity {
 public:
  using Steady = std::chrono::steady_clock;
  using System = std::chrono::system_clock;

  // A chat completion that runs, while this object lives.
  class Request {
   public:
    explicit Request(Activity& activity);
    ~Request();
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

   private:
    Activity& activity_;
  };

  Milliseconds Elapsed() const;                           // since the start
  System::time_point TimeAt(Milliseconds elapsed) const;  // of the wall clock

  // Since the later of `ready_at` (counted from the start) and the end of the last request; zero
  // while one runs.
  Milliseconds IdleSince(Milliseconds ready_at) const;
  System::time_point LastRequest() const;  // the start, when there was none

  int64_t CountChat();  // 1 for the first

 private:
  const Steady::time_point start_ = Steady::now();
  const System::time_point start_time_ = System::now();
  mutable std::mutex mutex_;
  Milliseconds last_request_{0};  // since the start
  int running_ = 0;
  int64_t chats_ = 0;
};

}  // namespace tao::reference_backend
