#pragma once

// A Slurm cluster behind its login hosts: commands there over ssh, and jobs by their names. What it
// cannot ask it never takes for an answer. Thread-safe.

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <atomic>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/backoff.h"
#include "server/base/cancel.h"
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

// Keys of driver_state.
inline constexpr char kSlurmName[] = "job_name";
inline constexpr char kSlurmSubmitting[] =
    "submitting";  // a job may exist, and its id is not known
inline constexpr char kSlurmId[] = "slurm_id";
inline constexpr char kSlurmClusterName[] = "slurm_cluster";
inline constexpr char kSlurmLog[] = "log";
inline constexpr char kSlurmNode[] = "node";
inline constexpr char kSlurmNodePort[] = "node_port";
inline constexpr char kSlurmRefused[] = "refused";  // ids of jobs whose port on the node was taken
// The value; "" where there is none.
std::string ValueIn(const PlatformJob& job, const char* key);
// The job that was submitted; nullopt: none yet.
std::optional<SlurmJobRef> RefOf(const PlatformJob& job);

// "12", "12 of cluster east".
std::string NameOf(const SlurmJobRef& job);
// The text of a section that must have been answered; else Unavailable.
absl::StatusOr<std::string> Answer(const SlurmSections& sections, std::string_view name);
// The same error as Unavailable: a question that failed, for whatever reason, has no answer.
absl::Status CouldNotAsk(const absl::Status& status);

class SlurmCluster {
 public:
  explicit SlurmCluster(SlurmConfig config);
  const SlurmConfig& config() const { return config_; }

  // With its controller down, squeue answers after 18 s.
  static constexpr absl::Duration kAskTimeout = absl::Seconds(40);

  // Runs it on the login host that answered last, else on the others in their order. An error is
  // the transport's: then nothing is known of what the command did.
  absl::StatusOr<io::SubprocessResult> Run(io::SshCommand command) const;
  absl::StatusOr<SlurmSections> Ask(const std::string& command, absl::Duration timeout,
                                    const base::CancelToken* cancel) const;
  // The login host that answered last.
  io::SshTarget Target(const SlurmLogin& login) const { return TargetOf(login, host_.load()); }
  // Forwards the job's local port to its port on its node.
  absl::StatusOr<TunnelSpec> TunnelOf(const PlatformJob& job) const;

  // The newest job of that name that was not `refused`; nullopt: there is none now. Unavailable:
  // it could not be asked; FailedPrecondition: several are alive.
  absl::StatusOr<std::optional<SlurmJobRef>> FindNewest(const std::string& job_id,
                                                        const std::set<std::string>& refused,
                                                        const base::CancelToken* cancel) const;
  // Cancels every job of the service (of a foreign one: the job that its entry names) and returns
  // when they have ended. Unavailable: they could not be asked about, or have not within `limit`.
  absl::Status End(const PlatformJob& job, absl::Duration limit,
                   const base::CancelToken& cancel) const;

 private:
  io::SshTarget TargetOf(const SlurmLogin& login, size_t host) const;
  absl::StatusOr<std::vector<SlurmJobRef>> FindAlive(const PlatformJob& job,
                                                     const base::CancelToken& cancel) const;
  absl::StatusOr<std::vector<SlurmJobRef>> FindForeign(const PlatformJob& job,
                                                       const base::CancelToken& cancel) const;
  absl::Status Cancel(const std::vector<SlurmJobRef>& jobs, const base::CancelToken& cancel) const;

  const SlurmConfig config_;
  mutable std::atomic<size_t> host_ = 0;  // index of the login host that answered last
};

// FailedPrecondition: the entry of another tool's service names no job of Slurm. Pure.
absl::StatusOr<SlurmJobRef> ForeignRefOf(const PlatformJob& job);

}  // namespace tao::platforms
