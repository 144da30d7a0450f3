#include "server/readiness/hub.h"

#include <thread>
#include <utility>
#include <vector>

namespace tao::readiness {

// What the hub and a subscription both hold: the hub may be telling news while the subscription
// goes.
struct Subscription::Shared {
  Shared(Hub& the_hub, std::string_view id, std::function<void()> news)
      : hub(the_hub), job_id(id), on_news(std::move(news)) {}

  void Tell(Hub::State state) {
    {
      base::MutexLock lock(mutex);
      if (closed) return;
      untaken = std::move(state);
      caller = std::this_thread::get_id();
    }
    on_news();
    base::MutexLock lock(mutex);
    caller = std::thread::id();
    returned.SignalAll();
  }

  void Close() {
    base::MutexLock lock(mutex);
    closed = true;
    untaken.reset();
    while (caller != std::thread::id() && caller != std::this_thread::get_id()) {
      returned.Wait(mutex);
    }
  }

  Hub& hub;
  const std::string job_id;
  const std::function<void()> on_news;

  base::Mutex mutex;
  base::CondVar returned;
  Hub::State untaken ABSL_GUARDED_BY(mutex);
  bool closed ABSL_GUARDED_BY(mutex) = false;
  std::thread::id caller ABSL_GUARDED_BY(mutex);  // who is inside on_news; nobody when default
};

Subscription::Subscription(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

Subscription::~Subscription() {
  shared_->hub.Remove(shared_);
  shared_->Close();
}

std::optional<registry::ServiceRecord> Subscription::Take() {
  Hub::State state;
  {
    base::MutexLock lock(shared_->mutex);
    state = std::exchange(shared_->untaken, nullptr);
  }
  if (state == nullptr) return std::nullopt;
  return *state;
}

std::unique_ptr<Subscription> Hub::Watch(std::string_view job_id, std::function<void()> on_news) {
  auto shared = std::make_shared<Subscription::Shared>(*this, job_id, std::move(on_news));
  base::MutexLock lock(mutex_);
  const auto latest = latest_.find(job_id);
  if (latest == latest_.end()) return nullptr;
  {
    base::MutexLock shared_lock(shared->mutex);
    shared->untaken = latest->second;
  }
  watchers_[shared->job_id].insert(shared);
  return std::unique_ptr<Subscription>(new Subscription(std::move(shared)));
}

void Hub::OnChange(const registry::ServiceRecord& record) {
  auto state = std::make_shared<const registry::ServiceRecord>(record);
  std::vector<std::shared_ptr<Subscription::Shared>> told;
  {
    base::MutexLock lock(mutex_);
    const auto watchers = watchers_.find(record.job_id);
    if (watchers != watchers_.end()) told.assign(watchers->second.begin(), watchers->second.end());
    if (record.phase == routing::Phase::kStopped) {
      latest_.erase(record.job_id);
      watchers_.erase(record.job_id);
    } else {
      latest_[record.job_id] = state;
    }
  }
  for (const auto& watcher : told) watcher->Tell(state);
}

void Hub::Remove(const std::shared_ptr<Subscription::Shared>& watcher) {
  base::MutexLock lock(mutex_);
  const auto watchers = watchers_.find(watcher->job_id);
  if (watchers == watchers_.end()) return;
  watchers->second.erase(watcher);
  if (watchers->second.empty()) watchers_.erase(watchers);
}

}  // namespace tao::readiness
