#include "gateway/upstream/pool.h"

#include <algorithm>
#include <utility>

namespace tao::upstream {

using transport::DeadlineWheel;

Pool::Pool(DeadlineWheel& wheel, const UpstreamConfig& config)
    : config_(config), sweep_(wheel, [this] { Sweep(); }) {}

std::unique_ptr<UpstreamConnection> Pool::Take(const routing::Service& service) {
  const auto found = idle_.find(service.job_id);
  if (found == idle_.end()) return nullptr;
  std::vector<Idle>& idle = found->second;
  const absl::Duration now = DeadlineWheel::Now();
  while (!idle.empty()) {
    Idle newest = std::move(idle.back());
    idle.pop_back();
    if (newest.until > now && newest.connection->Serves(service)) {
      return std::move(newest.connection);
    }
  }
  return nullptr;
}

void Pool::Put(std::unique_ptr<UpstreamConnection> connection) {
  std::vector<Idle>& idle = idle_[connection->job_id()];
  if (idle.size() >= config_.max_idle_per_service) return;  // closes it
  const absl::Duration until = DeadlineWheel::After(config_.idle_timeout);
  idle.push_back({std::move(connection), until});
  if (!sweeping_) {
    sweeping_ = true;
    sweep_.Arm(until);
  }
}

void Pool::Retain(const routing::RouteTable& table) {
  absl::erase_if(idle_, [&table](const auto& entry) { return table.Find(entry.first) == nullptr; });
}

size_t Pool::idle() const {
  size_t sum = 0;
  for (const auto& [job_id, idle] : idle_) sum += idle.size();
  return sum;
}

void Pool::Sweep() {
  const absl::Duration now = DeadlineWheel::Now();
  absl::Duration next = absl::InfiniteDuration();
  for (auto& [job_id, idle] : idle_) {
    std::erase_if(idle, [now](const Idle& entry) { return entry.until <= now; });
    if (!idle.empty()) next = std::min(next, idle.front().until);
  }
  absl::erase_if(idle_, [](const auto& entry) { return entry.second.empty(); });
  sweeping_ = next != absl::InfiniteDuration();
  if (sweeping_) sweep_.Arm(next);
}

}  // namespace tao::upstream
