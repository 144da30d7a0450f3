#include "server/api/server_drain.h"

#include <algorithm>
#include <utility>

namespace tao::api {

void DrainListener::CancelCall() {
  base::MutexLock lock(context_mutex_);
  if (context_ != nullptr) context_->TryCancel();
}

void DrainListener::CallEnded() {
  base::MutexLock lock(context_mutex_);
  context_ = nullptr;
}

void ServerDrain::Add(const std::shared_ptr<DrainListener>& listener) {
  {
    base::MutexLock lock(mutex_);
    if (listeners_.size() >= sweep_at_) {
      std::erase_if(listeners_, [](const auto& each) { return each.expired(); });
      sweep_at_ = std::max<size_t>(64, 2 * listeners_.size());
    }
    listeners_.push_back(listener);
    if (!begun()) return;
  }
  listener->OnServerDrain();
}

void ServerDrain::Begin() {
  std::vector<std::weak_ptr<DrainListener>> listeners;
  {
    base::MutexLock lock(mutex_);
    if (begun_.exchange(true)) return;
    listeners = listeners_;
  }
  for (const std::weak_ptr<DrainListener>& each : listeners) {
    if (const std::shared_ptr<DrainListener> listener = each.lock()) listener->OnServerDrain();
  }
}

void ServerDrain::CancelRest() {
  std::vector<std::weak_ptr<DrainListener>> listeners;
  {
    base::MutexLock lock(mutex_);
    listeners = listeners_;
  }
  for (const std::weak_ptr<DrainListener>& each : listeners) {
    if (const std::shared_ptr<DrainListener> listener = each.lock()) listener->CancelCall();
  }
}

}  // namespace tao::api
