#pragma once

// Asks every service's container whether it is ready, and its platform whether it still runs, at
// the pace of probe_schedule.h, without a proxy. It decides nothing: what it found goes to the
// ProbeListener.

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "server/base/clock.h"
#include "server/base/work_pool.h"
#include "server/io/http_client.h"
#include "server/readiness/phase_machine.h"
#include "server/readiness/probe_schedule.h"
#include "server/registry/registry.h"
#include "server/routing/exchanges.h"

namespace tao::readiness {

// Applies what was found; implemented by lifecycle. Called on a thread of the pool: may block for a
// durable write. Never called for two findings of one job at a time.
class ProbeListener {
 public:
  virtual ~ProbeListener() = default;
  // `platform`: empty when it was not asked or could not be asked. `probe`: empty when there is no
  // endpoint.
  virtual void OnFinding(std::string_view job_id, std::optional<platforms::PlatformState> platform,
                         std::optional<ProbeResult> probe) = 0;
};

// Thread-safe. Owns one thread. Destroying it stops it.
class Prober : public registry::RegistryObserver, public routing::FailureListener {
 public:
  // Asks the platform of `record`; blocks; runs on `pool`. An error says nothing about the job.
  using ObservePlatform = std::function<absl::StatusOr<platforms::PlatformState>(
      const registry::ServiceRecord& record)>;
  // Where `record` answers; port 0 when that is not known. Must not block.
  using BackendOf = std::function<routing::Backend(const registry::ServiceRecord& record)>;

  // Everything outlives the prober. `pool` should be its own: a pull of 30 GB that holds a thread
  // of a shared one would hold up every finding.
  Prober(const ProberConfig& config, io::HttpClient& http, base::WorkPool& pool,
         const base::Clock& clock, ObservePlatform observe, BackendOf backend_of,
         ProbeListener& listener);
  ~Prober() override;

  // Ends the probes, waits for a finding that is being told (and so for an Observe at most), and
  // joins; no call of the listener follows. What it is told afterwards it ignores: the registry
  // goes on telling its observers while operations end. From one thread only.
  void Stop();

  void OnChange(const registry::ServiceRecord& record) override;
  void OnExchangeFailed(std::string_view job_id) override;

 private:
  class Loop;
  std::shared_ptr<Loop> loop_;  // answers that come after the prober has gone find it stopped
};

}  // namespace tao::readiness
