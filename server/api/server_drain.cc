#include "server/api/server_drain.h"

#include <algorithm>
#include <utility>

namespace tao::api {

void ServerDrain::Add(const std::shared_ptr<DrainListener>& listener) {
  {
    base::MutexLock lock(mutex_);
    if (!begun()) {
      if (listeners_.size() >= sweep_at_) {
        std::erase_if(listeners_, [](const auto& each) { return each.expired(); });
        sweep_at_ = std::max<size_t>(64, 2 * listeners_.size());
      }
      listeners_.push_back(listener);
      return;
    }
  }
  listener->OnServerDrain();
}

void ServerDrain::Begin() {
  std::vector<std::weak_ptr<DrainListener>> listeners;
  {
    base::MutexLock lock(mutex_);
    begun_.store(true, std::memory_order_release);
    listeners.swap(listeners_);
  }
  for (const std::weak_ptr<DrainListener>& each : listeners) {
    if (const std::shared_ptr<DrainListener> listener = each.lock()) listener->OnServerDrain();
  }
}

}  // namespace tao::api
