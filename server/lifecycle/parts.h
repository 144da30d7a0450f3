#pragma once

// What the operations of a service work with. Owned by main (or by a test), handed around by
// reference.

#include <absl/time/time.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/base/clock.h"
#include "server/catalog/catalog.h"
#include "server/launch/launch_request.h"
#include "server/lifecycle/leases.h"
#include "server/platforms/platform.h"
#include "server/registry/registry.h"
#include "server/registry/registry_file_sync.h"
#include "server/registry/state_directory.h"
#include "server/routing/exchanges.h"

namespace tao::lifecycle {

struct LifecycleConfig {
  // Platform of a StartRequest that names none; empty: naming one is required. YAML:
  // default_platform.
  std::string default_platform;
  // GPU mode of a StartRequest that names none. YAML: gpu_mode.
  launch::GpuMode default_gpu_mode = launch::GpuMode::kAuto;
  absl::Duration preflight_timeout = absl::Seconds(30);
  // No change of phase or progress for this long, from STARTING on, is FAILED.
  absl::Duration progress_timeout = absl::Seconds(600);
  absl::Duration startup_timeout = absl::Hours(2);   // in all
  absl::Duration drain_timeout = absl::Seconds(30);  // of a Stop that names none
  absl::Duration stop_retry = absl::Seconds(5);  // between tries while a platform cannot be asked
  // After a start, how long and how often to look for what a dead daemon's helper program left
  // behind; and how long a start that it left half done waits for a platform that cannot be asked.
  absl::Duration leftovers_limit = absl::Seconds(60);
  absl::Duration leftovers_interval = absl::Seconds(5);
};

// The gateway's side of a Stop; wired in main. Thread-safe.
class ExchangeCutter {
 public:
  virtual ~ExchangeCutter() = default;
  // Ends the exchanges of `job_id` that are still in flight.
  virtual void CutExchanges(std::string_view job_id) = 0;
};

struct Parts {
  LifecycleConfig config;
  std::shared_ptr<const catalog::Catalog> catalog;
  registry::StateDirectory* state = nullptr;
  registry::Registry* registry = nullptr;
  registry::RegistryFileSync* registry_file = nullptr;
  Leases* leases = nullptr;
  std::map<std::string, platforms::Platform*, std::less<>> platforms;  // by traits().name
  const routing::ExchangeCounter* exchanges = nullptr;
  ExchangeCutter* cutter = nullptr;
  const base::Clock* clock = nullptr;
  catalog::EnvironmentLookup environment;  // of the daemon

  // Null when this daemon has no such platform.
  platforms::Platform* PlatformNamed(std::string_view name) const {
    const auto found = platforms.find(name);
    return found == platforms.end() ? nullptr : found->second;
  }
};

// The driver's view of a record.
inline platforms::PlatformJob JobOf(const registry::ServiceRecord& record) {
  platforms::PlatformJob job = {.job_id = record.job_id,
                                .host_port = record.host_port,
                                .instance_port = record.instance_port,
                                .driver_state = record.driver_state};
  // Where another tool's job is, its entry alone says.
  if (record.foreign && !record.instance_id.empty()) {
    job.driver_state["instance_id"] = record.instance_id;
  }
  if (record.foreign && !record.platform_job_id.empty()) {
    job.driver_state["platform_job_id"] = record.platform_job_id;
  }
  return job;
}

// Which ports of this host `record` may have.
inline PortWish PortWishOf(const Parts& parts, const registry::ServiceRecord& record) {
  const platforms::Platform* const platform = parts.PlatformNamed(record.platform);
  const catalog::Arch* const arch = parts.catalog->FindArch(record.network_arch);
  return PortWishFor(
      platform == nullptr || platform->traits().host_port != platforms::HostPort::kListened,
      arch != nullptr && arch->has_port_flag());
}

}  // namespace tao::lifecycle
