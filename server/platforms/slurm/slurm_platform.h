#pragma once

// The slurm platform: a service is a job of a Slurm cluster with Pyxis. Everything goes through ssh
// to a login host, the endpoint through an ssh -L of the daemon's own.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <string>
#include <vector>

#include "server/platforms/platform.h"
#include "server/platforms/slurm/slurm_cluster.h"
#include "server/platforms/slurm/slurm_settings.h"

namespace tao::platforms {

class SlurmPlatform final : public Platform {
 public:
  explicit SlurmPlatform(SlurmConfig config);

  const PlatformTraits& traits() const override;
  absl::Status CheckOptions(const std::map<std::string, std::string>& options) const override;
  std::vector<CheckItem> Check(const CheckRequest& request, absl::Duration deadline) override;
  // Always empty: Slurm chooses. FailedPrecondition for ids and for tegra.
  absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) override;
  // Returns when the container runs on its port of the node. While the cluster cannot be asked it
  // waits and tells so: a job that may exist is never given up unasked. When it is cancelled the
  // job stays: a Stop ends it, and after a shutdown it keeps its place in the queue for the next
  // daemon's Launch.
  absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                     LaunchSession& session) override;
  void Adopt(const PlatformJob& job) override;
  absl::StatusOr<PlatformState> Observe(const PlatformJob& job) override;
  Endpoint EndpointOf(const PlatformJob& job) const override;
  // It needs platform_job_id: ID, or ID;CLUSTER.
  absl::Status CheckForeign(const PlatformJob& job) const override;
  // Jobs are found by their name (another tool's by the id in its entry) and cancelled by their id.
  // The log stays.
  absl::Status Stop(const PlatformJob& job, const StopOptions& options,
                    StopSession& session) override;
  absl::Status StreamLogs(const PlatformJob& job, const LogOptions& options, LogSink& sink,
                          const base::CancelToken& cancel) override;
  absl::StatusOr<std::vector<FoundJob>> FindOurs() override;

 private:
  std::vector<CheckItem> CheckCluster(const CheckRequest& request, const SlurmSettings& settings,
                                      absl::Time end) const;
  CheckItem ForwardingItem(const SlurmLogin& login, absl::Duration timeout) const;
  CheckItem DryRunItem(const CheckRequest& request, const SlurmSettings& settings,
                       absl::Duration timeout) const;

  const SlurmCluster cluster_;
};

}  // namespace tao::platforms
