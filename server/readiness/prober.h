#pragma once

// Asks every service's container whether it is ready, and its platform whether it still runs, at the pace
// of design.md "Readiness": at once on a change, then 1 s growing to 10 s with jitter; READY every 30 s,
// and at once when an exchange failed; 5 s a probe; at most 64 at a time; no proxy from the environment.
// It decides nothing: what it found goes to the ProbeListener.

#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/base/clock.h"
#include "server/base/work_pool.h"
#include "server/io/http_client.h"
#include "server/readiness/phase_machine.h"
#include "server/registry/registry.h"
#include "server/routing/exchanges.h"

namespace tao::readiness {

struct ProberConfig {
  absl::Duration first_interval = absl::Seconds(1);
  absl::Duration longest_interval = absl::Seconds(10);
  absl::Duration ready_interval = absl::Seconds(30);
  absl::Duration timeout = absl::Seconds(5);
  int max_concurrent = 64;
};

// Applies what was found; implemented by lifecycle. Called on the prober's thread or a pool's: may block
// for a durable write. Never called for two findings of one job at a time.
class ProbeListener {
 public:
  virtual ~ProbeListener() = default;
  virtual void OnFinding(std::string_view job_id, std::optional<platforms::PlatformState> platform,
                         std::optional<ProbeResult> probe) = 0;
};

// Thread-safe. Owns one thread; destroying it ends the probes in flight and joins.
class Prober : public registry::RegistryObserver, public routing::FailureListener {
 public:
  // Asks the platform of `record`; blocks; runs on `pool`. An error says nothing about the job.
  using ObservePlatform =
      std::function<absl::StatusOr<platforms::PlatformState>(const registry::ServiceRecord& record)>;
  // Where `record` answers.
  using BackendOf = std::function<routing::Backend(const registry::ServiceRecord& record)>;

  Prober(const ProberConfig& config, io::HttpClient& http, base::WorkPool& pool,
         const base::Clock& clock, ObservePlatform observe, BackendOf backend_of,
         ProbeListener& listener);
  ~Prober() override;

  void OnChange(const registry::ServiceRecord& record) override;   // schedules; STOPPED forgets
  void OnExchangeFailed(std::string_view job_id) override;         // probes at once

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace tao::readiness
