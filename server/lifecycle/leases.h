#pragma once

// Who holds which port of this host (or of an instance), and which GPU. In memory; the records in
// the state directory are what lasts, and Restore makes the leases again from them. A service has
// one port of each at most. Thread-safe: many starts at once get different ports and GPUs.

#include <absl/status/statusor.h>

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/mutex.h"
#include "server/launch/launch_plan.h"
#include "server/lifecycle/port_choice.h"
#include "server/registry/service_record.h"

namespace tao::lifecycle {

class Leases {
 public:
  // The ports of an instance (empty: of this host) that entries of other tools hold
  // (RegistryFileSync::ForeignPorts). Asked at each AcquirePort, without the leases' lock. May be
  // null: none.
  using ForeignPorts = std::function<std::set<int>(const std::string& instance_id)>;
  // Keeps a port of this host from its other daemons for as long as the result lives; null: one of
  // them has it (LockHostPort). May be null: there are none.
  using LockPort = std::function<std::shared_ptr<void>(int port)>;
  explicit Leases(ForeignPorts foreign_ports, LockPort lock_port = nullptr)
      : foreign_ports_(std::move(foreign_ports)), lock_port_(std::move(lock_port)) {}

  // Holds what `record` holds; a foreign one holds nothing. Before the first Acquire.
  void Restore(const registry::ServiceRecord& record);

  // The lowest port of `wish` that nobody holds and that is not in `refused` (the platform said
  // that somebody else has it). It takes the place of the port that `job_id` held there. On an
  // error that one stays. ResourceExhausted: none is free; says who holds the port where there was
  // only one to choose.
  absl::StatusOr<int> AcquirePort(std::string_view job_id, const PortWish& wish,
                                  const std::set<int>& refused);

  // GPUs out of `candidates` (what the platform has, in its order): those that `request` names, or
  // the first `request.count` free ones. Empty for GpuMode::kNone. All or nothing.
  // ResourceExhausted: says who holds them. FailedPrecondition: the platform has no such GPU, or
  // fewer.
  absl::StatusOr<std::vector<std::string>> AcquireGpus(std::string_view job_id,
                                                       const launch::GpuRequest& request,
                                                       const std::vector<std::string>& candidates);

  // Everything that `job_id` holds; nothing is fine.
  void Release(std::string_view job_id);

 private:
  struct PortLease {
    std::string job_id;
    std::shared_ptr<void> lock;
  };

  const ForeignPorts foreign_ports_;
  const LockPort lock_port_;
  base::Mutex mutex_;
  struct Port {
    std::string instance_id;  // empty: of this host
    int number = 0;
    auto operator<=>(const Port&) const = default;
  };
  std::map<Port, PortLease> ports_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> gpus_ ABSL_GUARDED_BY(mutex_);  // GPU id -> job_id
};

}  // namespace tao::lifecycle
