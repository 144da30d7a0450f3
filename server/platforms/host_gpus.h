#pragma once

// The GPUs of this host, for the drivers that run on it. A GPU has one name here, its index: a
// lease on "0" and one on "GPU-..." of the same card would not see each other.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <string_view>
#include <vector>

#include "server/launch/launch_plan.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

struct HostGpu {
  std::string index;  // "0"
  std::string uuid;   // "GPU-..."; empty on Tegra
  int64_t memory_used_mib = 0;
};

struct HostGpus {
  bool tegra = false;  // Jetson: one integrated GPU, reached through --runtime=nvidia
  std::vector<HostGpu> gpus;
};

// Where to look; tests look elsewhere.
struct HostGpuSources {
  std::string nvidia_smi = "nvidia-smi";  // a name in PATH, or a path
  std::string tegra_release = "/etc/nv_tegra_release";
};

// Pure: the output of nvidia-smi --query-gpu=index,uuid,memory.used --format=csv,noheader,nounits.
absl::StatusOr<std::vector<HostGpu>> ParseNvidiaSmi(std::string_view output);

// Pure: the names of the GPUs that may be leased for `request`, those with the least memory in use
// first (a GPU that another program fills is the worst choice). With request.ids exactly those, in
// that order; they may be indices or UUIDs. Empty for GpuMode::kNone. FailedPrecondition, with
// advice: no such GPU, or none that the mode fits.
absl::StatusOr<std::vector<std::string>> ChooseGpuIds(const launch::GpuRequest& request,
                                                      const HostGpus& host);

// Asks the host. No GPU is an answer, not an error: a host without nvidia-smi has none.
// FailedPrecondition: nvidia-smi is there and does not work (its words are in the text);
// Unavailable, DeadlineExceeded: could not ask.
absl::StatusOr<HostGpus> FindHostGpus(const HostGpuSources& sources, absl::Duration deadline);

// Both: what Platform::GpuIds of a driver for this host answers. Asks nothing for GpuMode::kNone.
absl::StatusOr<std::vector<std::string>> HostGpuIds(const launch::GpuRequest& request,
                                                    const HostGpuSources& sources,
                                                    absl::Duration deadline);
// The same as an item of Platform::Check, named "gpu".
CheckItem HostGpuItem(const launch::GpuRequest& request, const HostGpuSources& sources,
                      absl::Duration deadline);

}  // namespace tao::platforms
