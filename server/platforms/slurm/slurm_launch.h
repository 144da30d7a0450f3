#pragma once

// One start on a Slurm cluster, wherever an earlier one was cut off. Externally synchronised; lives
// for one Launch.

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/launch/launch_plan.h"
#include "server/platforms/platform.h"
#include "server/platforms/slurm/slurm_cluster.h"
#include "server/platforms/slurm/slurm_settings.h"

namespace tao::platforms {

class SlurmLaunch {
 public:
  SlurmLaunch(const SlurmCluster& cluster, const launch::LaunchPlan& plan, SlurmSettings settings,
              LaunchSession& session);

  // On an error what was made is still there.
  absl::StatusOr<PlatformJob> Run();
  // What is saved of it by now.
  PlatformJob Job() const;

 private:
  struct Serving {
    std::string node;
    int port = 0;
  };

  absl::Status Cancelled() const;
  // True: go on; false: it was cancelled meanwhile.
  bool Wait(base::Backoff& backoff) const;
  absl::Status Save();

  // What the plan's secrets are; FailedPrecondition for one that no line can hold.
  absl::StatusOr<std::string> Preamble(std::vector<std::string>& names) const;
  absl::StatusOr<std::optional<SlurmJobRef>> FindNewest() const;
  absl::StatusOr<SlurmJobRef> FindOrSubmit(int attempt);
  absl::StatusOr<SlurmJobRef> Submit(int attempt);
  // Of a submission whose answer is lost; nullopt: it never came.
  absl::StatusOr<std::optional<SlurmJobRef>> AwaitLost(const std::string& why) const;
  // nullopt: the port on the node is taken.
  absl::StatusOr<std::optional<Serving>> AwaitServing(const SlurmJobRef& job) const;
  absl::StatusOr<std::optional<Serving>> EndedEarly(const SlurmJobRef& job,
                                                    const SlurmJobFacts& facts,
                                                    const SlurmSections& sections) const;
  absl::Status OpenTunnel(PlatformJob& job);

  const SlurmCluster& cluster_;
  const SlurmConfig& config_;
  const launch::LaunchPlan& plan_;
  const SlurmSettings settings_;
  LaunchSession& session_;
  std::map<std::string, std::string> state_;  // what is saved
  std::set<std::string> refused_;             // ids of jobs whose port was taken
};

}  // namespace tao::platforms
