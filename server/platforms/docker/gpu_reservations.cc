#include "server/platforms/docker/gpu_reservations.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

namespace tao::platforms {

absl::StatusOr<std::vector<std::string>> GpuReservations::Reserve(
    std::string_view job_id, std::string_view engine, const std::vector<std::string>& usable,
    std::set<std::string> taken, size_t wanted, std::string_view on) {
  const base::MutexLock lock(mutex_);
  for (const auto& [holder, reservation] : reservations_) {
    if (reservation.engine != engine || holder == job_id) continue;
    taken.insert(reservation.gpu_ids.begin(), reservation.gpu_ids.end());
  }
  std::vector<std::string> free;
  for (const std::string& id : usable) {
    if (!taken.contains(id)) free.push_back(id);
  }
  if (free.size() < wanted) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "%s has %d GPUs free of those that could be used, and %d are wanted: other services have "
        "%s. Stop one, or ask for fewer",
        on, free.size(), wanted, taken.empty() ? "none" : absl::StrJoin(taken, ", ")));
  }
  free.resize(wanted);
  reservations_.insert_or_assign(std::string(job_id),
                                 Reservation{.engine = std::string(engine), .gpu_ids = free});
  return free;
}

void GpuReservations::Release(std::string_view job_id) {
  const base::MutexLock lock(mutex_);
  const auto found = reservations_.find(job_id);
  if (found != reservations_.end()) reservations_.erase(found);
}

}  // namespace tao::platforms
