#pragma once

// Pure: what the docker program is called with.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/launch/launch_plan.h"

namespace tao::platforms {

inline constexpr int kContainerPort = 8080;
inline constexpr std::string_view kJobLabel = "tao-job";
inline constexpr std::string_view kDaemonLabel = "tao-daemon";
// Says which GPUs of its engine's host a container has, where the engine is on another host: what
// runs there is known to nobody else.
inline constexpr std::string_view kGpusLabel = "tao-gpus";

struct DockerRunContext {
  std::string daemon_id;
  std::string network;  // empty: the engine's own
  std::string publish_address = "127.0.0.1";
  int host_port = 0;
  std::vector<std::string> gpu_ids;                         // leased; empty: no GPU
  std::vector<std::pair<std::string, std::string>> labels;  // beside ours
  bool tegra = false;  // Jetson: its GPU is reached through --runtime=nvidia
  // Of plan.secret_names, those that the environment has: handed on by name, never by value.
  std::vector<std::string> secret_names;
};

// The arguments of `docker run`.
std::vector<std::string> RenderRun(const launch::LaunchPlan& plan, const DockerRunContext& context);

// The value of one --mount. docker reads it as CSV.
std::string RenderMount(const launch::Mount& mount);

// The value of --gpus; CSV too, so that a list of ids needs quotes that are part of it.
std::string RenderGpus(const std::vector<std::string>& ids);

// `docker inspect` of containers; one line of JSON for each, that ParseContainers reads. Never the
// full output: it has the environment with its secrets.
std::vector<std::string> RenderInspect(const std::vector<std::string>& names);

// For ParseTakenGpus.
std::vector<std::string> RenderTakenGpus();

// `docker info` for ParseHasNvidiaRuntime.
std::vector<std::string> RenderRuntimes();
// nvidia-smi in a container of `image`, for ParseNvidiaSmi: it tells the GPUs of the engine's host,
// where that of this host would tell others. The image is there already.
std::vector<std::string> RenderGpuQuery(const std::string& image);

std::vector<std::string> RenderFindOurs(std::string_view daemon_id);
std::vector<std::string> RenderNetworkCreate(std::string_view network, std::string_view daemon_id);
// For ParseNetworkIds. May list more networks than the one that is called so.
std::vector<std::string> RenderNetworkList(std::string_view network);
// One line that ParseNetwork reads; `network` is a name or an id.
std::vector<std::string> RenderNetworkInspect(std::string_view network);
std::vector<std::string> RenderLogs(const std::string& name, int tail_lines, bool follow);

}  // namespace tao::platforms
