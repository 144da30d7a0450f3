#include "server/registry/registry.h"

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::registry {
namespace {

using routing::Phase;

absl::Status NoService(std::string_view job_id) {
  return absl::NotFoundError(absl::StrFormat("no service has job_id %s", base::Quoted(job_id)));
}

// Which of two operations of one service goes on when they meet.
int Rank(Operation operation) {
  switch (operation) {
    case Operation::kNone:
      return 0;
    case Operation::kStart:
      return 1;
    case Operation::kFail:
      return 2;
    case Operation::kStop:
      return 3;
  }
  return 0;
}

bool IsPastItsTime(const ServiceRecord& record, absl::Time now) {
  if (record.foreign || record.ended_at > now - Registry::kKeepEnded) return false;
  if (record.phase == Phase::kStopped) return true;
  return record.phase == Phase::kFailed && !record.keep_failed &&
         record.journal.operation == Operation::kNone;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> Registry::Open(StateDirectory& state) {
  ASSIGN_OR_RETURN(StateDirectory::Loaded loaded, state.LoadAll());
  for (const std::string& broken : loaded.broken) {
    base::Log(base::LogLevel::kError, "registry", "a service record was broken and is kept aside",
              {{"file", broken}});
  }
  std::sort(loaded.records.begin(), loaded.records.end(),
            [](const ServiceRecord& a, const ServiceRecord& b) {
              return std::tie(a.created_at, a.job_id) < std::tie(b.created_at, b.job_id);
            });
  std::unique_ptr<Registry> registry(new Registry(state));
  registry->set_aside_.insert(loaded.set_aside.begin(), loaded.set_aside.end());
  const base::MutexLock lock(registry->mutex_);
  for (ServiceRecord& record : loaded.records) {
    record.revision = ++registry->revision_;
    if (!record.request_id.empty()) registry->requests_[record.request_id] = record.job_id;
    std::string job_id = record.job_id;
    registry->records_.emplace(std::move(job_id),
                               std::make_shared<const ServiceRecord>(std::move(record)));
  }
  registry->told_ = registry->revision_;
  return registry;
}

void Registry::AddObserver(RegistryObserver* observer) {
  ServiceList present;
  {
    const base::MutexLock lock(mutex_);
    for (const auto& [job_id, record] : records_) present.push_back(record);
  }
  std::sort(present.begin(), present.end(),
            [](const auto& a, const auto& b) { return a->revision < b->revision; });
  for (const auto& record : present) observer->OnChange(*record);
  observers_.push_back(observer);
}

std::optional<ServiceRecord> Registry::Find(std::string_view job_id) const {
  const base::MutexLock lock(mutex_);
  const auto found = records_.find(job_id);
  if (found == records_.end()) return std::nullopt;
  return *found->second;
}

std::optional<std::string> Registry::SetAside(std::string_view job_id) const {
  const auto found = set_aside_.find(job_id);
  if (found == set_aside_.end()) return std::nullopt;
  return found->second;
}

ServiceList Registry::List() const {
  // The times beside the pointers: sorting thousands must not read each record again and again.
  std::vector<std::pair<absl::Time, std::shared_ptr<const ServiceRecord>>> by_age;
  {
    const base::MutexLock lock(mutex_);
    by_age.reserve(records_.size());
    for (const auto& [job_id, record] : records_) {
      if (record->phase != Phase::kStopped) by_age.emplace_back(record->created_at, record);
    }
  }
  // Stable: records_ is in the order of job_id.
  std::stable_sort(by_age.begin(), by_age.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  ServiceList listed;
  listed.reserve(by_age.size());
  for (auto& [created_at, record] : by_age) listed.push_back(std::move(record));
  return listed;
}

std::optional<ServiceRecord> Registry::FindRequest(std::string_view request_id) const {
  const base::MutexLock lock(mutex_);
  const auto request = requests_.find(request_id);
  if (request == requests_.end()) return std::nullopt;
  const auto found = records_.find(request->second);  // absent while it is being inserted
  if (found == records_.end()) return std::nullopt;
  return *found->second;
}

absl::Status Registry::Insert(ServiceRecord record) {
  const std::string job_id = record.job_id;
  const std::string request_id = record.request_id;
  {
    const base::MutexLock lock(mutex_);
    while (true) {
      // An Insert in flight may yet fail: wait for what becomes of it.
      const auto request = requests_.find(request_id);
      const bool request_known = !request_id.empty() && request != requests_.end();
      const std::string& holder = request_known ? request->second : job_id;
      if (busy_.contains(job_id) || busy_.contains(holder)) {
        changed_.Wait(mutex_);
        continue;
      }
      if (records_.contains(job_id)) {
        return absl::AlreadyExistsError(
            absl::StrFormat("a service with job_id %s exists already", base::Quoted(job_id)));
      }
      if (request_known) {
        return absl::AlreadyExistsError(absl::StrFormat("request_id %s already started service %s",
                                                        base::Quoted(request_id), holder));
      }
      break;
    }
    busy_.insert(job_id);
    if (!request_id.empty()) requests_[request_id] = job_id;
  }
  if (!record.foreign) {
    if (absl::Status saved = state_.Save(record); !saved.ok()) {
      const base::MutexLock lock(mutex_);
      requests_.erase(request_id);
      busy_.erase(job_id);
      changed_.SignalAll();
      return saved;
    }
    HitFaultPoint(record.journal.operation, record.journal.step, /*done=*/false);
  }
  Commit(record);
  return absl::OkStatus();
}

std::optional<ServiceRecord> Registry::Claim(std::string_view job_id) {
  const base::MutexLock lock(mutex_);
  while (busy_.contains(job_id)) changed_.Wait(mutex_);
  const auto found = records_.find(job_id);
  if (found == records_.end()) return std::nullopt;
  busy_.emplace(job_id);
  return *found->second;
}

void Registry::Unclaim(std::string_view job_id) {
  const base::MutexLock lock(mutex_);
  busy_.erase(busy_.find(job_id));
  changed_.SignalAll();
}

void Registry::Commit(ServiceRecord& record) {
  {
    const base::MutexLock lock(mutex_);
    record.revision = ++revision_;
    auto committed = std::make_shared<const ServiceRecord>(record);
    untold_.push_back(committed);
    if (record.foreign && record.phase == Phase::kStopped) {
      records_.erase(record.job_id);  // may come back: the registry file decides
    } else {
      records_[record.job_id] = std::move(committed);
    }
    busy_.erase(record.job_id);
    changed_.SignalAll();
  }
  TellUntil(record.revision);
}

void Registry::Forget(ServiceRecord& record) {
  bool tell = false;
  {
    const base::MutexLock lock(mutex_);
    tell = record.phase != Phase::kStopped;
    record.phase = Phase::kStopped;
    if (tell) {
      record.revision = ++revision_;
      untold_.push_back(std::make_shared<const ServiceRecord>(record));
    }
    records_.erase(record.job_id);
    requests_.erase(record.request_id);
    busy_.erase(record.job_id);
    changed_.SignalAll();
  }
  if (tell) TellUntil(record.revision);
}

void Registry::TellUntil(uint64_t revision) {
  mutex_.Lock();
  while (told_ < revision) {
    if (telling_) {
      changed_.Wait(mutex_);
      continue;
    }
    telling_ = true;
    const std::shared_ptr<const ServiceRecord> record = std::move(untold_.front());
    untold_.pop_front();
    mutex_.Unlock();
    for (RegistryObserver* const observer : observers_) observer->OnChange(*record);
    mutex_.Lock();
    telling_ = false;
    told_ = record->revision;
    changed_.SignalAll();
  }
  mutex_.Unlock();
}

absl::StatusOr<ServiceRecord> Registry::Update(std::string_view job_id,
                                               const std::function<bool(ServiceRecord&)>& change,
                                               Durability durability) {
  std::optional<ServiceRecord> record = Claim(job_id);
  if (!record.has_value()) return NoService(job_id);
  absl::Cleanup unclaim = [this, job_id] { Unclaim(job_id); };
  if (record->phase == Phase::kStopped) return *std::move(record);
  const ServiceRecord before = *record;
  if (!change(*record)) return before;
  if (durability == Durability::kDurable && !record->foreign) RETURN_IF_ERROR(state_.Save(*record));
  std::move(unclaim).Cancel();
  Commit(*record);
  return *std::move(record);
}

absl::StatusOr<ServiceRecord> Registry::ChangeJournal(std::string_view job_id, Operation operation,
                                                      Step step, bool done) {
  if (!HasStep(operation, step)) {
    return absl::InternalError(
        absl::StrFormat("%s has no step %s (step.cc)", ToString(operation), ToString(step)));
  }
  Operation holder = Operation::kNone;
  const auto change = [&](ServiceRecord& record) {
    holder = record.journal.operation;
    // A step that another operation has taken over must not be marked done either.
    if (done ? holder != operation : Rank(holder) > Rank(operation)) return false;
    record.journal = {.operation = operation, .step = step, .done = done};
    if (!done && step == Step::kPublish) record.published = true;
    if (!done && step == Step::kUnpublish) record.published = false;
    return true;
  };
  ASSIGN_OR_RETURN(ServiceRecord record, Update(job_id, change));
  if (record.phase == Phase::kStopped) return NoService(job_id);
  if (record.journal.operation == operation && record.journal.step == step &&
      record.journal.done == done) {
    return record;
  }
  return absl::AbortedError(absl::StrFormat("%s of service %s ends at step %s: %s goes first",
                                            ToString(operation), job_id, ToString(step),
                                            ToString(holder)));
}

absl::Status Registry::BeginStep(std::string_view job_id, Operation operation, Step step) {
  RETURN_IF_ERROR(ChangeJournal(job_id, operation, step, /*done=*/false).status());
  HitFaultPoint(operation, step, /*done=*/false);
  return absl::OkStatus();
}

absl::Status Registry::EndStep(std::string_view job_id, Operation operation, Step step) {
  HitFaultPoint(operation, step, /*done=*/true);
  return ChangeJournal(job_id, operation, step, /*done=*/true).status();
}

void Registry::Prune(absl::Time now) {
  std::vector<std::string> candidates;
  {
    const base::MutexLock lock(mutex_);
    for (const auto& [job_id, record] : records_) {
      if (IsPastItsTime(*record, now)) candidates.push_back(job_id);
    }
  }
  for (const std::string& job_id : candidates) {
    std::optional<ServiceRecord> record = Claim(job_id);
    if (!record.has_value()) continue;
    absl::Cleanup unclaim = [this, &job_id] { Unclaim(job_id); };
    if (!IsPastItsTime(*record, now)) continue;  // e.g. a Stop came in between
    if (const absl::Status removed = state_.Remove(job_id); !removed.ok()) {
      base::Log(base::LogLevel::kWarning, "registry", "an ended service could not be forgotten yet",
                {{"job_id", job_id}, {"error", removed.ToString()}});
      continue;
    }
    std::move(unclaim).Cancel();
    Forget(*record);
  }
}

}  // namespace tao::registry
