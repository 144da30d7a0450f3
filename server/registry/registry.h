#pragma once

// The services of this daemon: in memory for readers, durable through the state directory. Every change
// goes through here, gets a revision, and is told to the observers in order. Thread-safe.

#include <absl/status/statusor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/mutex.h"
#include "server/registry/service_record.h"
#include "server/registry/state_directory.h"

namespace tao::registry {

// Told of every change, after it is durable, in revision order, one call at a time, without the registry's
// lock: it may read the registry. It must return fast and must not change the registry from inside.
class RegistryObserver {
 public:
  virtual ~RegistryObserver() = default;
  // `record.phase` is kStopped in the last call for a job_id.
  virtual void OnChange(const ServiceRecord& record) = 0;
};

class Registry {
 public:
  // `state` outlives the registry. Records loaded from it are there at once; observers hear of them on
  // AddObserver.
  static absl::StatusOr<std::unique_ptr<Registry>> Open(StateDirectory& state);

  // Also told of every record that exists now. Before the first thread that changes the registry.
  void AddObserver(RegistryObserver* observer);

  std::optional<ServiceRecord> Find(std::string_view job_id) const;
  // Services that are in lists (not STOPPED), by created_at then job_id.
  std::vector<ServiceRecord> List() const;
  // A service started under this request_id, also one that ended less than 24 h ago.
  std::optional<ServiceRecord> FindRequest(std::string_view request_id) const;

  // AlreadyExists when the job_id, or a live request_id, is there.
  absl::Status Insert(ServiceRecord record);
  // Applies `change` and makes it durable. NotFound when it is gone. `change` returns false to leave the
  // record as it is. A change that is not `durable` (progress texts) is kept in memory alone.
  enum class Durability { kDurable, kMemory };
  absl::StatusOr<ServiceRecord> Update(std::string_view job_id,
                                       const std::function<bool(ServiceRecord&)>& change,
                                       Durability durability = Durability::kDurable);

  // Journal: the step is durable when Begin returns OK; then its fault point. Done marks it, and hits the
  // second one.
  absl::Status BeginStep(std::string_view job_id, Operation operation, Step step);
  absl::Status EndStep(std::string_view job_id, Step step);

  // Removes ended records (STOPPED for 24 h, FAILED for 24 h).
  void Prune(absl::Time now);

 private:
  explicit Registry(StateDirectory& state) : state_(state) {}

  StateDirectory& state_;
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::map<std::string, ServiceRecord, std::less<>> records_ ABSL_GUARDED_BY(mutex_);
  // Records whose change is being saved: the next change of the same one waits, without the mutex.
  std::set<std::string, std::less<>> busy_ ABSL_GUARDED_BY(mutex_);
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<RegistryObserver*> observers_;
};

}  // namespace tao::registry
