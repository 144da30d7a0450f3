#include "server/lifecycle/leases.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <optional>

#include "server/base/strings.h"

namespace tao::lifecycle {
namespace {

absl::Status NoPort(const PortWish& wish, std::string_view holder) {
  if (wish.first != wish.last) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "no port from %d to %d is free on %s; stop a service first (List shows them)", wish.first,
        wish.last,
        wish.instance_id.empty() ? "this host" : "instance " + base::Quoted(wish.instance_id)));
  }
  return absl::ResourceExhaustedError(absl::StrFormat(
      "port %d is held by %s, and this network_arch can serve on no other without a network of its "
      "own: "
      "its command takes no port. Stop that first, or use a platform with containers",
      wish.first, holder));
}

absl::Status NoGpu(size_t wanted, size_t free, const std::map<std::string, std::string>& held) {
  std::vector<std::string> holders;
  for (const auto& [gpu, job_id] : held) holders.push_back(gpu + " by " + job_id);
  return absl::ResourceExhaustedError(absl::StrFormat(
      "%d GPUs are wanted and %d are free; held: %s. Stop a service first, or ask for fewer",
      wanted, free, base::JoinedList(holders)));
}

}  // namespace

void Leases::Restore(const registry::ServiceRecord& record) {
  if (record.foreign) return;
  const base::MutexLock lock(mutex_);
  if (record.host_port != 0) {
    // Ours, whoever has the lock meanwhile: the service is there.
    ports_.emplace(Port{"", record.host_port},
                   PortLease{.job_id = record.job_id,
                             .lock = lock_port_ ? lock_port_(record.host_port) : nullptr});
  }
  if (record.instance_port != 0) {
    ports_.emplace(Port{record.instance_id, record.instance_port},
                   PortLease{.job_id = record.job_id, .lock = nullptr});
  }
  for (const std::string& gpu : record.gpu_ids) gpus_.emplace(gpu, record.job_id);
}

absl::StatusOr<int> Leases::AcquirePort(std::string_view job_id, const PortWish& wish,
                                        const std::set<int>& refused) {
  const std::set<int> foreign = foreign_ports_ ? foreign_ports_(wish.instance_id) : std::set<int>();
  const base::MutexLock lock(mutex_);
  std::set<int> used = foreign;
  used.insert(refused.begin(), refused.end());
  std::optional<int> held;
  for (const auto& [port, lease] : ports_) {
    if (port.instance_id != wish.instance_id) continue;
    if (lease.job_id == job_id) {
      held = port.number;  // may be kept, if it is still the lowest
    } else {
      used.insert(port.number);
    }
  }
  const bool of_this_host = wish.instance_id.empty();
  while (const std::optional<int> port = LowestFreePort(wish, used)) {
    if (port == held) return *port;
    PortLease lease{.job_id = std::string(job_id), .lock = nullptr};
    if (of_this_host && lock_port_ && (lease.lock = lock_port_(*port)) == nullptr) {
      used.insert(*port);  // a service of another daemon, which may not listen yet
      continue;
    }
    if (held.has_value()) ports_.erase(Port{wish.instance_id, *held});
    ports_.emplace(Port{wish.instance_id, *port}, std::move(lease));
    return *port;
  }
  const auto holder = ports_.find(Port{wish.instance_id, wish.first});
  return NoPort(wish,
                holder != ports_.end() && holder->second.job_id != job_id
                    ? "service " + holder->second.job_id
                    : std::string(foreign.contains(wish.first)   ? "a service of another tool"
                                  : refused.contains(wish.first) ? "another program"
                                                                 : "a service of another daemon"));
}

absl::StatusOr<std::vector<std::string>> Leases::AcquireGpus(
    std::string_view job_id, const launch::GpuRequest& request,
    const std::vector<std::string>& candidates) {
  if (request.mode == launch::GpuMode::kNone) return std::vector<std::string>();
  const std::vector<std::string>& wanted = request.ids.empty() ? candidates : request.ids;
  const size_t count =
      request.ids.empty() ? static_cast<size_t>(std::max(request.count, 1)) : request.ids.size();
  for (const std::string& id : request.ids) {
    if (std::find(candidates.begin(), candidates.end(), id) != candidates.end()) continue;
    return absl::FailedPreconditionError(absl::StrFormat(
        "there is no GPU %s; there are: %s", base::Quoted(id), base::JoinedList(candidates)));
  }
  if (count > wanted.size()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%d GPUs are wanted, and there are %d: %s. Ask for fewer", count,
                        candidates.size(), base::JoinedList(candidates)));
  }
  const base::MutexLock lock(mutex_);
  std::vector<std::string> chosen;
  for (const std::string& gpu : wanted) {
    const auto holder = gpus_.find(gpu);
    const bool free = holder == gpus_.end() || holder->second == job_id;
    if (free && chosen.size() < count) chosen.push_back(gpu);
  }
  if (chosen.size() < count) return NoGpu(count, chosen.size(), gpus_);
  for (const std::string& gpu : chosen) gpus_.insert_or_assign(gpu, std::string(job_id));
  return chosen;
}

void Leases::Release(std::string_view job_id) {
  const base::MutexLock lock(mutex_);
  std::erase_if(ports_, [job_id](const auto& lease) { return lease.second.job_id == job_id; });
  std::erase_if(gpus_, [job_id](const auto& lease) { return lease.second == job_id; });
}

}  // namespace tao::lifecycle
