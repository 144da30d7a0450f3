#pragma once

// Fans the registry's changes out to watchers. A slow watcher gets the newest state when it reads again,
// never a backlog, and always the final one. Thread-safe.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "server/base/mutex.h"
#include "server/registry/registry.h"

namespace tao::readiness {

class Hub;

// One watcher of one service. Thread-safe. Destroying it unsubscribes; no call follows.
class Subscription {
 public:
  ~Subscription();
  // The newest state that was not taken yet; nullopt when there is none.
  std::optional<registry::ServiceRecord> Take();

 private:
  friend class Hub;
  struct Shared;
  explicit Subscription(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::shared_ptr<Shared> shared_;
};

class Hub : public registry::RegistryObserver {
 public:
  // `on_news` is called, from any thread and without locks of the hub, when Take() has something new; it
  // must not block. The present state is there at once. Null when the service does not exist.
  std::unique_ptr<Subscription> Watch(std::string_view job_id, std::function<void()> on_news);

  void OnChange(const registry::ServiceRecord& record) override;

 private:
  base::Mutex mutex_;
  std::map<std::string, registry::ServiceRecord, std::less<>> latest_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::set<std::shared_ptr<Subscription::Shared>>, std::less<>> watchers_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tao::readiness
