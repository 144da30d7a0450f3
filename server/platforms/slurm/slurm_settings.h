#pragma once

// Pure: what the operator (environment) and the caller (platform_options) say of a Slurm cluster.

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/catalog/catalog.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

std::span<const PlatformOption> SlurmOptions();

// How to get onto the cluster.
struct SlurmLogin {
  std::string user;                // SLURM_USER
  std::vector<std::string> hosts;  // SLURM_HOSTNAME, in the order in which they are tried
  std::string key_file;            // SSH_KEY_PATH; empty: the agent's, or ssh's configuration
  std::string ssh_config;          // SLURM_SSH_CONFIG; empty: the user's own
};

// FailedPrecondition names what is not set.
absl::StatusOr<SlurmLogin> ReadLogin(const catalog::EnvironmentLookup& environment);

// What a job is to be. An option wins over the environment.
struct SlurmSettings {
  std::string partition;  // SLURM_PARTITION; may list several
  std::string account;    // SLURM_ACCOUNT; empty: the cluster's default
  std::string qos;
  absl::Duration time = absl::Hours(4);  // SLURM_TIME_HOURS
  std::string gpu_type;                  // empty: any
  int cpus = 16;
  std::string mem;                // empty: the cluster's default
  std::optional<bool> exclusive;  // nullopt: where the arch's port cannot be chosen
  std::string container_image;    // empty: the arch's image
  bool container_writable = true;
  std::string container_mounts;  // SLURM_CONTAINER_MOUNTS: SRC:DST[:FLAGS],...
  // SLURM_BASE_RESULTS_DIR; where job logs go. Without one: kDefaultLogFolder of the home folder.
  std::string output_dir;
};
inline constexpr std::string_view kDefaultLogFolder = "tao-inference-logs";

// Whether the options' values can be what they say. InvalidArgument with all violations.
absl::Status CheckSlurmOptions(const std::map<std::string, std::string>& options);

// The same, and FailedPrecondition for what the environment lacks or has wrong.
absl::StatusOr<SlurmSettings> ReadSettings(const std::map<std::string, std::string>& options,
                                           const catalog::EnvironmentLookup& environment);

// Sources of SRC:DST[:FLAGS],... that are paths of the cluster.
std::vector<std::string> MountSources(std::string_view container_mounts);

}  // namespace tao::platforms
