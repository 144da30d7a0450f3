#pragma once

// The slurm platform: a service is a job of a Slurm cluster with Pyxis. Everything goes through ssh
// to a login host, the endpoint through an ssh -L of the daemon's own.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/base/backoff.h"
#include "server/catalog/catalog.h"
#include "server/io/ssh.h"
#include "server/platforms/platform.h"
#include "server/platforms/slurm/slurm_parse.h"
#include "server/platforms/slurm/slurm_settings.h"
#include "server/platforms/tunnels.h"

namespace tao::platforms {

struct SlurmConfig {
  std::string daemon_id;  // StateDirectory::daemon_id()
  // Every name of Catalog::secrets(): ssh inherits none of them.
  std::vector<std::string> secret_names;
  Tunnels* tunnels = nullptr;              // the daemon's; outlives the platform
  catalog::EnvironmentLookup environment;  // of the daemon; empty: its real one
  std::string ssh_program = "ssh";
  base::BackoffOptions poll = {.first = absl::Milliseconds(500), .longest = absl::Seconds(10)};
  // How long a job is looked for whose submission was not answered, before it is submitted again.
  absl::Duration lost_answer_wait = absl::Seconds(10);
  // How long a job may run before its log is seen on the login host.
  absl::Duration log_wait = absl::Minutes(3);
  absl::Duration stop_wait = absl::Minutes(2);  // of one Stop, for the job's end
};

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
  // Jobs are found by their name (another tool's by the id in its entry) and cancelled by their id.
  // The log stays.
  absl::Status Stop(const PlatformJob& job, const StopOptions& options,
                    StopSession& session) override;
  absl::Status StreamLogs(const PlatformJob& job, const LogOptions& options, LogSink& sink,
                          const base::CancelToken& cancel) override;
  absl::StatusOr<std::vector<FoundJob>> FindOurs() override;

 private:
  struct Serving {
    std::string node;
    int port = 0;
  };
  struct Start;  // what one Launch works with

  io::SshTarget TargetOf(const SlurmLogin& login, size_t host) const;
  // Runs it on the login host that answered last, else on the others in their order. An error is
  // the transport's: then nothing is known of what the command did.
  absl::StatusOr<io::SubprocessResult> Run(io::SshCommand command) const;
  absl::StatusOr<SlurmSections> Ask(const std::string& command, absl::Duration timeout,
                                    const base::CancelToken* cancel) const;
  // What the plan's secrets are; FailedPrecondition for one that no line can hold.
  absl::StatusOr<std::string> Preamble(const launch::LaunchPlan& plan,
                                       std::vector<std::string>& names) const;

  // The newest job of that name that was not `refused`; nullopt: there is certainly none.
  absl::StatusOr<std::optional<SlurmJobRef>> FindNewest(const std::string& job_id,
                                                        const std::set<std::string>& refused,
                                                        const base::CancelToken* cancel) const;
  absl::StatusOr<std::vector<SlurmJobRef>> FindAlive(const PlatformJob& job) const;
  // The same of another tool's entry, by the id in it.
  absl::StatusOr<std::vector<SlurmJobRef>> FindForeign(const PlatformJob& job) const;
  absl::StatusOr<SlurmJobRef> FindOrSubmit(Start& start, int attempt) const;
  absl::StatusOr<SlurmJobRef> Submit(Start& start, int attempt) const;
  // nullopt: the port on the node is taken.
  absl::StatusOr<std::optional<Serving>> AwaitServing(Start& start, const SlurmJobRef& job) const;
  absl::StatusOr<std::optional<Serving>> EndedEarly(const SlurmJobRef& job,
                                                    const SlurmJobFacts& facts,
                                                    const SlurmSections& sections) const;
  absl::StatusOr<PlatformJob> LaunchUntilServing(Start& start) const;
  absl::Status OpenTunnel(Start& start, PlatformJob& job) const;
  absl::StatusOr<TunnelSpec> TunnelOf(const PlatformJob& job) const;
  absl::Status Cancel(const PlatformJob& job) const;

  std::vector<CheckItem> CheckCluster(const CheckRequest& request, const SlurmSettings& settings,
                                      absl::Time end) const;
  CheckItem ForwardingItem(const SlurmLogin& login, absl::Duration timeout) const;
  CheckItem DryRunItem(const CheckRequest& request, const SlurmSettings& settings,
                       absl::Duration timeout) const;

  const SlurmConfig config_;
  mutable std::atomic<size_t> host_ = 0;  // index of the login host that answered last
};

}  // namespace tao::platforms
