#include "server/platforms/host_gpus.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <unistd.h>

#include <algorithm>

#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/io/subprocess.h"
#include "server/platforms/preflight.h"

namespace tao::platforms {
namespace {

using launch::GpuMode;

std::vector<std::string> Names(const std::vector<HostGpu>& gpus) {
  std::vector<std::string> names;
  for (const HostGpu& gpu : gpus) names.push_back(gpu.index);
  return names;
}

// One row, e.g. "0, GPU-5f0a..., 412". False when it is not one.
bool ParseRow(absl::string_view row, HostGpu& gpu) {
  const std::vector<absl::string_view> cells = absl::StrSplit(row, ',');
  if (cells.size() != 3) return false;
  gpu.index = std::string(absl::StripAsciiWhitespace(cells[0]));
  gpu.uuid = std::string(absl::StripAsciiWhitespace(cells[1]));
  int index = 0;
  if (!absl::SimpleAtoi(gpu.index, &index) || index < 0) return false;
  // "[N/A]" where the driver cannot tell (integrated GPUs, MIG parents): taken for unused.
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(cells[2]), &gpu.memory_used_mib)) {
    gpu.memory_used_mib = 0;
  }
  return !gpu.uuid.empty();
}

absl::Status CheckMode(GpuMode mode, const HostGpus& host) {
  if (mode == GpuMode::kTegra && !host.tegra) {
    return absl::FailedPreconditionError(
        "--gpu-mode tegra is for Jetson, and this host is none (it has no /etc/nv_tegra_release). "
        "Use --gpu-mode device or auto");
  }
  if (mode == GpuMode::kDevice && host.tegra) {
    return absl::FailedPreconditionError(
        "--gpu-mode device does not work on Jetson, whose GPU has no device id. Use --gpu-mode "
        "tegra or auto");
  }
  if (!host.gpus.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this host has no GPU: nvidia-smi is not in the server's PATH, or lists none, and there is "
      "no /etc/nv_tegra_release. Install the NVIDIA driver and check that nvidia-smi works, start "
      "on another platform, or say --gpu-mode none to start without a GPU (demos and tests: the "
      "models themselves need one)");
}

}  // namespace

absl::StatusOr<std::vector<HostGpu>> ParseNvidiaSmi(std::string_view output) {
  std::vector<HostGpu> gpus;
  for (absl::string_view row : absl::StrSplit(base::ToAbsl(output), '\n')) {
    row = absl::StripAsciiWhitespace(row);
    // On a host without a GPU it says so and exits with 0.
    if (row.empty() || row == "No devices were found") continue;
    HostGpu gpu;
    if (!ParseRow(row, gpu)) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "nvidia-smi printed %s where \"index, uuid, memory.used\" of a GPU was expected. Check "
          "that it works: nvidia-smi --query-gpu=index,uuid,memory.used --format=csv",
          base::Quoted(base::ToStd(row))));
    }
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

absl::StatusOr<std::vector<std::string>> ChooseGpuIds(const launch::GpuRequest& request,
                                                      const HostGpus& host) {
  if (request.mode == GpuMode::kNone) return std::vector<std::string>();
  RETURN_IF_ERROR(CheckMode(request.mode, host));
  if (request.ids.empty()) {
    std::vector<HostGpu> gpus = host.gpus;
    std::stable_sort(gpus.begin(), gpus.end(), [](const HostGpu& a, const HostGpu& b) {
      return a.memory_used_mib < b.memory_used_mib;
    });
    return Names(gpus);
  }
  std::vector<std::string> names;
  for (const std::string& id : request.ids) {
    const auto found = std::find_if(host.gpus.begin(), host.gpus.end(), [&id](const HostGpu& gpu) {
      return gpu.index == id || gpu.uuid == id;
    });
    if (found == host.gpus.end()) {
      return absl::FailedPreconditionError(
          absl::StrFormat("this host has no GPU %s; it has: %s (nvidia-smi -L lists their UUIDs)",
                          base::Quoted(id), base::JoinedList(Names(host.gpus))));
    }
    if (std::find(names.begin(), names.end(), found->index) != names.end()) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "GPU %s is named twice: by index and by UUID. Name each once", found->index));
    }
    names.push_back(found->index);
  }
  return names;
}

absl::StatusOr<HostGpus> FindHostGpus(const HostGpuSources& sources, absl::Duration deadline) {
  if (access(sources.tegra_release.c_str(), F_OK) == 0) {
    return HostGpus{.tegra = true, .gpus = {{.index = "0", .uuid = "", .memory_used_mib = 0}}};
  }
  const absl::StatusOr<io::SubprocessResult> result =
      io::RunSubprocess({.argv = {sources.nvidia_smi, "--query-gpu=index,uuid,memory.used",
                                  "--format=csv,noheader,nounits"},
                         .timeout = deadline});
  if (absl::IsNotFound(result.status())) return HostGpus();
  RETURN_IF_ERROR(result.status());
  if (result->exit_code != 0) {
    // It says what is wrong on stdout as well as on stderr.
    const std::string words = base::Redact(result->err.empty() ? result->out : result->err);
    return absl::FailedPreconditionError(absl::StrFormat(
        "nvidia-smi failed with exit code %d: %s. Repair the NVIDIA driver (often a reboot after "
        "an update), or say --gpu-mode none to start without a GPU",
        result->exit_code, base::Quoted(base::ToStd(absl::StripAsciiWhitespace(words)), 300)));
  }
  HostGpus host;
  ASSIGN_OR_RETURN(host.gpus, ParseNvidiaSmi(result->out));
  return host;
}

absl::StatusOr<std::vector<std::string>> HostGpuIds(const launch::GpuRequest& request,
                                                    const HostGpuSources& sources,
                                                    absl::Duration deadline) {
  if (request.mode == GpuMode::kNone) return std::vector<std::string>();
  ASSIGN_OR_RETURN(const HostGpus host, FindHostGpus(sources, deadline));
  return ChooseGpuIds(request, host);
}

CheckItem HostGpuItem(const launch::GpuRequest& request, const HostGpuSources& sources,
                      absl::Duration deadline) {
  const absl::StatusOr<std::vector<std::string>> ids = HostGpuIds(request, sources, deadline);
  std::string found = "none is used";
  if (ids.ok() && !ids->empty()) found = absl::StrFormat("has %s", base::JoinedList(*ids));
  return ItemOf("gpu", ids.status(), found);
}

}  // namespace tao::platforms
