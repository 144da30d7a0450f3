#include "server/launch/gpus.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/strings.h"

namespace tao::launch {
namespace {

constexpr int kMaxGpus = 64;
constexpr size_t kMaxIdBytes = 96;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// An index ("0") or a UUID as nvidia-smi prints it ("GPU-...", "MIG-..."). Nothing else may reach
// the comma-separated device list of a command line.
bool IsGpuId(std::string_view id) {
  if (!id.empty() && id.size() <= 3 && std::all_of(id.begin(), id.end(), IsDigit)) return true;
  if (!id.starts_with("GPU-") && !id.starts_with("MIG-")) return false;
  return id.size() > 4 && std::all_of(id.begin(), id.end(), [](char c) {
           return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                  c == '/';
         });
}

void ReadIds(const LaunchRequest& request, RequestCheck& check, GpuRequest& gpus) {
  if (request.gpu_ids.size() > kMaxGpus) {
    check.Add("gpu_ids", absl::StrFormat("has %d entries; at most %d are allowed",
                                         request.gpu_ids.size(), kMaxGpus));
    return;
  }
  for (size_t i = 0; i < request.gpu_ids.size(); ++i) {
    const std::string field = absl::StrFormat("gpu_ids[%d]", i);
    const std::string& id = request.gpu_ids[i];
    if (!check.AllowsText(field, id, kMaxIdBytes)) continue;
    if (!IsGpuId(id)) {
      check.Add(field, absl::StrFormat("%s is neither an index (0, 1, ...) nor a UUID (GPU-..., "
                                       "MIG-...); nvidia-smi -L lists both",
                                       base::Quoted(id)));
    } else if (std::find(gpus.ids.begin(), gpus.ids.end(), id) != gpus.ids.end()) {
      check.Add(field, absl::StrFormat("%s is named twice", base::Quoted(id)));
    } else {
      gpus.ids.push_back(id);
    }
  }
}

}  // namespace

GpuRequest ReadGpus(const LaunchRequest& request, GpuMode default_mode, RequestCheck& check) {
  GpuRequest gpus;
  gpus.mode = request.gpu_mode == GpuMode::kUnspecified ? default_mode : request.gpu_mode;
  if (gpus.mode == GpuMode::kUnspecified) gpus.mode = GpuMode::kAuto;
  gpus.count = std::max(1, request.gpu_count);
  ReadIds(request, check, gpus);
  if (request.gpu_count < 0 || request.gpu_count > kMaxGpus) {
    check.Add("gpu_count", absl::StrFormat("%d: must be 1 to %d", request.gpu_count, kMaxGpus));
    return gpus;
  }
  if (gpus.mode == GpuMode::kNone) {
    if (!request.gpu_ids.empty() || request.gpu_count > 1) {
      check.Add("gpu_mode",
                "is none, so the service gets no GPU; leave out the GPUs, or ask for them with "
                "gpu_mode auto or device");
    }
    return gpus;
  }
  if (request.gpu_ids.empty()) return gpus;
  if (request.gpu_count > 1 && static_cast<size_t>(request.gpu_count) != request.gpu_ids.size()) {
    check.Add("gpu_count", absl::StrFormat("is %d, but gpu_ids has %d entries; give one of the two",
                                           request.gpu_count, request.gpu_ids.size()));
  }
  gpus.count = static_cast<int>(gpus.ids.size());
  return gpus;
}

}  // namespace tao::launch
