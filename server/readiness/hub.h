#pragma once

// Fans the registry's changes out to watchers. A slow watcher gets the newest state when it reads
// again, never a backlog, and always the final one. Thread-safe. Outlives its subscriptions.

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

// One watcher of one service. Thread-safe.
class Subscription {
 public:
  // Unsubscribes. A running `on_news` is waited for, unless it is the one that destroys; none
  // follows.
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  // The newest state that was not taken yet; nullopt when there is none. A STOPPED one is the last.
  std::optional<registry::ServiceRecord> Take();

 private:
  friend class Hub;
  struct Shared;
  explicit Subscription(std::shared_ptr<Shared> shared);
  std::shared_ptr<Shared> shared_;
};

class Hub : public registry::RegistryObserver {
 public:
  // The present state can be taken at once, without a call. `on_news` is called after each change,
  // one call at a time, from the thread that tells the change and without locks of the hub; it must
  // not block. By the time it takes, an earlier Take() may have had the news. Null when the service
  // does not exist.
  std::unique_ptr<Subscription> Watch(std::string_view job_id, std::function<void()> on_news);

  // A STOPPED service is told to its watchers, which keep that state until they take it, and
  // forgotten here: memory does not grow with the services that have ended.
  void OnChange(const registry::ServiceRecord& record) override;

 private:
  friend class Subscription;
  using Watchers = std::set<std::shared_ptr<Subscription::Shared>>;
  // Shared by all watchers that have not taken it: a record may carry 200 log lines.
  using State = std::shared_ptr<const registry::ServiceRecord>;

  void Remove(const std::shared_ptr<Subscription::Shared>& watcher);

  base::Mutex mutex_;
  std::map<std::string, State, std::less<>> latest_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Watchers, std::less<>> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tao::readiness
