#pragma once

// The local-process platform: a service is a process of this host, without a container. It runs
// under tao-process-parent (parent/protocol.h), so that it, its log and its exit status outlive the
// daemon. The embedded platform: it needs nothing but bash and the service's own program.

#include <memory>
#include <string>

#include "server/catalog/catalog.h"
#include "server/platforms/host_gpus.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

struct LocalProcessConfig {
  std::string parent_program;  // path of tao-process-parent; installed beside the server
  std::string jobs_folder;     // STATE_DIR/jobs; each job has JOB_ID in it
  std::string daemon_id;       // StateDirectory::daemon_id()
  // --local-process-path: folders, separated by colons, that come first in the PATH of services.
  std::string path_prefix;
  int64_t max_log_bytes = int64_t{32} << 20;  // of each of the two log files of a job
  HostGpuSources gpu_sources;
  catalog::EnvironmentLookup environment;  // of the daemon; empty: its real one
};

class LocalProcessPlatform final : public Platform {
 public:
  explicit LocalProcessPlatform(LocalProcessConfig config);

  const PlatformTraits& traits() const override;
  std::vector<CheckItem> Check(const CheckRequest& request, absl::Duration deadline) override;
  absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) override;
  // A job that has run and ended is found as well, and not started again.
  absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                     LaunchSession& session) override;
  absl::StatusOr<PlatformState> Observe(const PlatformJob& job) override;
  Endpoint EndpointOf(const PlatformJob& job) const override;
  // The job's folder stays: its log may still be wanted.
  absl::Status Stop(const PlatformJob& job, const StopOptions& options,
                    StopSession& session) override;
  absl::Status StreamLogs(const PlatformJob& job, const LogOptions& options, LogSink& sink,
                          const base::CancelToken& cancel) override;
  absl::StatusOr<std::vector<FoundJob>> FindOurs() override;

 private:
  std::string FolderOf(const std::string& job_id) const {
    return config_.jobs_folder + "/" + job_id;
  }
  // The job as its parent's record has it; nullopt when it has never been started.
  absl::StatusOr<std::optional<PlatformJob>> FindStarted(const std::string& job_id) const;
  absl::StatusOr<int> ChoosePort(const launch::LaunchPlan& plan, LaunchSession& session) const;
  // Starts the parent, and waits until the command runs.
  absl::StatusOr<PlatformJob> StartParent(const launch::LaunchPlan& plan, int port,
                                          LaunchSession& session) const;

  const LocalProcessConfig config_;
  const std::string path_;  // of services
};

}  // namespace tao::platforms
