#pragma once

// GPUs of engines on other hosts, between their choice for a service and its end. Each engine has
// ids of its own, so that "0" of one is not "0" of another. What outlasts the daemon is the label
// of the container (kGpusLabel): reservations cover the time until it shows. Thread-safe.

#include <absl/status/statusor.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/mutex.h"

namespace tao::platforms {

class GpuReservations {
 public:
  // The first `wanted` of `usable` (best first) that are neither `taken`, by what the engine's
  // labels say, nor reserved there. In the place of what `job_id` had. ResourceExhausted: there are
  // not so many; `on` says where.
  absl::StatusOr<std::vector<std::string>> Reserve(std::string_view job_id, std::string_view engine,
                                                   const std::vector<std::string>& usable,
                                                   std::set<std::string> taken, size_t wanted,
                                                   std::string_view on);
  void Release(std::string_view job_id);  // nothing is fine

 private:
  struct Reservation {
    std::string engine;
    std::vector<std::string> gpu_ids;
  };
  base::Mutex mutex_;
  std::map<std::string, Reservation, std::less<>> reservations_ ABSL_GUARDED_BY(mutex_);  // job_id
};

}  // namespace tao::platforms
