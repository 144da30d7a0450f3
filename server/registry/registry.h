#pragma once

// The services of this daemon: in memory for readers, durable through the state directory. Every
// change goes through here, gets a revision, and is told to the observers in order. Thread-safe.
//
// How a change is made: the record is marked busy (others who want to change the same one wait for
// it), `change` works on a copy and the copy is saved, both without the mutex, so that changes of
// different records are saved side by side; then the copy takes the record's place, gets the next
// revision and joins the queue of changes to be told. The call returns when its own change was
// told: whoever made a change can rely on every observer knowing it. The queue is emptied by the
// callers that wait for it, one of them at a time, each until its own change is told; so it is told
// in revision order, by one thread at a time, and no thread is kept telling the changes of others
// for ever.
//
// Foreign records (entries of other tools) live in memory alone: the registry file is their truth.

#include <absl/status/statusor.h>

#include <cstdint>
#include <deque>
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

// Told of every change, after it is durable, in revision order, one call at a time, without the
// registry's lock: it may read the registry. It must return fast and must not change the registry
// from inside (it would wait for itself).
class RegistryObserver {
 public:
  virtual ~RegistryObserver() = default;
  // `record.phase` is kStopped in the last call for a job_id. (A foreign job_id may come back
  // later.)
  virtual void OnChange(const ServiceRecord& record) = 0;
};

// Services as they are at one moment, shared and not copied.
using ServiceList = std::vector<std::shared_ptr<const ServiceRecord>>;

class Registry {
 public:
  // Ended records are kept for this long: FAILED ones in lists, STOPPED ones so that their job_id
  // and request_id are known.
  static constexpr absl::Duration kKeepEnded = absl::Hours(24);

  // `state` outlives the registry. Records loaded from it are there at once; observers hear of them
  // on AddObserver. Files of `state` that were broken are logged.
  static absl::StatusOr<std::unique_ptr<Registry>> Open(StateDirectory& state);

  // Also told of every record that exists now, STOPPED ones too. Before the first thread that
  // changes the registry.
  void AddObserver(RegistryObserver* observer);

  // Of any phase; STOPPED ones are found for kKeepEnded (foreign ones are not).
  std::optional<ServiceRecord> Find(std::string_view job_id) const;
  // Services that are in lists (not STOPPED), by created_at then job_id.
  ServiceList List() const;
  // A service started under this request_id, also one that ended less than 24 h ago.
  std::optional<ServiceRecord> FindRequest(std::string_view request_id) const;

  // The file in which a broken record of `job_id` was kept aside; nullopt: there is none. Such a
  // service may run: whoever finds it on a platform must leave it alone.
  std::optional<std::string> SetAside(std::string_view job_id) const;

  // Durable when it returns OK; then the first fault point of the record's journal entry (kAccept).
  // AlreadyExists when the job_id, or a live request_id, is there.
  absl::Status Insert(ServiceRecord record);

  // Applies `change`, once and on this thread, and makes it durable. NotFound when it is gone.
  // `change` returns false to leave the record as it is; it may read the registry, and must not
  // change it. A STOPPED record changes no more: it comes back as it is, and `change` is not
  // called. A change that is not durable (progress texts) is kept in memory, and saved with the
  // next one that is. On any error nothing has changed for readers.
  enum class Durability { kDurable, kMemory };
  absl::StatusOr<ServiceRecord> Update(std::string_view job_id,
                                       const std::function<bool(ServiceRecord&)>& change,
                                       Durability durability = Durability::kDurable);

  // Journal: the step is durable when Begin returns OK, after its first fault point. kPublish and
  // kUnpublish set the record's `published` in the same write. End hits the second fault point,
  // then marks the step done, durably. NotFound: gone, or STOPPED. Aborted: an operation that goes
  // first (Stop before the clean-up of FAILED, both before Start) has taken the service over; this
  // one must end. Internal: no such step in StepsOf.
  absl::Status BeginStep(std::string_view job_id, Operation operation, Step step);
  absl::Status EndStep(std::string_view job_id, Operation operation, Step step);

  // Forgets records that ended kKeepEnded ago: STOPPED ones, and FAILED ones that are cleaned up,
  // which observers are told as STOPPED. A FAILED one that was kept on purpose (keep_failed) stays
  // until Stop. What cannot be removed from the state directory stays, is logged, and is tried
  // again the next time.
  void Prune(absl::Time now);

 private:
  explicit Registry(StateDirectory& state) : state_(state) {}

  // Marks the record busy, and gives its copy. Waits for others; nullopt when it is gone.
  std::optional<ServiceRecord> Claim(std::string_view job_id);
  void Unclaim(std::string_view job_id);
  // Puts the claimed record in its place, gives up the claim, and returns when observers were told.
  void Commit(ServiceRecord& record);
  // The same for a claimed record that was removed from the state directory.
  void Forget(ServiceRecord& record);
  void TellUntil(uint64_t revision);
  absl::StatusOr<ServiceRecord> ChangeJournal(std::string_view job_id, Operation operation,
                                              Step step, bool done);

  StateDirectory& state_;
  std::map<std::string, std::string, std::less<>> set_aside_;  // written by Open alone
  mutable base::Mutex mutex_;
  base::CondVar changed_;  // a claim was given up, or a change was told
  // A record never changes: the next one takes its place.
  std::map<std::string, std::shared_ptr<const ServiceRecord>, std::less<>> records_
      ABSL_GUARDED_BY(mutex_);
  // request_id -> job_id of `records_`, and of the records that are being inserted.
  std::map<std::string, std::string, std::less<>> requests_ ABSL_GUARDED_BY(mutex_);
  // Records whose change is being saved, and records that are being inserted.
  std::set<std::string, std::less<>> busy_ ABSL_GUARDED_BY(mutex_);
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;

  std::deque<std::shared_ptr<const ServiceRecord>> untold_
      ABSL_GUARDED_BY(mutex_);                    // in revision order
  bool telling_ ABSL_GUARDED_BY(mutex_) = false;  // some thread is inside the observers
  uint64_t told_ ABSL_GUARDED_BY(mutex_) = 0;     // the last revision that was told
  std::vector<RegistryObserver*> observers_;
};

}  // namespace tao::registry
