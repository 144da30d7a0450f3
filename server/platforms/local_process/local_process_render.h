#pragma once

// Pure: what a local-process service is started with.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/catalog/catalog.h"
#include "server/io/subprocess.h"
#include "server/launch/launch_plan.h"

namespace tao::platforms {

// How the driver was set up; see LocalProcessConfig.
struct LocalProcessContext {
  std::string parent_program;
  std::string job_folder;
  std::string daemon_id;
  std::string path;  // PathOf
  int64_t max_log_bytes = 0;
  int port = 0;
  std::vector<std::string> gpu_ids;        // leased
  catalog::EnvironmentLookup environment;  // the daemon's
};

// PATH of the service: `prefix` (--local-process-path), then the daemon's. Parts of `prefix` that
// are not absolute are taken from `working_folder`, since the service runs in another one. Empty
// parts, which mean the current folder, are dropped.
std::string PathOf(std::string_view prefix, const std::optional<std::string>& path,
                   std::string_view working_folder);

// tao-process-parent with the inner command, and the service's whole environment: the plan's, its
// secrets by name, PATH, HOME, LANG; and when GPUs are leased, which ones CUDA may see, in the
// order in which nvidia-smi counts them. No argument holds a secret.
io::SubprocessOptions RenderParent(const launch::LaunchPlan& plan,
                                   const LocalProcessContext& context);

// The program that the inner command runs; nullopt when it cannot be told without a shell.
std::optional<std::string> ProgramOf(const launch::InnerCommand& command);

}  // namespace tao::platforms
