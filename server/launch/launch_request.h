#pragma once

// What a caller asks for when it starts a service, as the API hands it over: untrusted, unchecked.
// BuildLaunchPlan (launch_plan.h) checks all of it. Plain data.

#include <absl/time/time.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tao::launch {

enum class GpuMode {
  kUnspecified,  // the operator's default (`gpu_mode` in the configuration)
  kAuto,         // what the host has; FailedPrecondition when it has none
  kDevice,       // --gpus with device ids
  kTegra,        // --runtime=nvidia, for Jetson
  kNone,         // no GPU, said explicitly (demo, tests)
};

struct LaunchRequest {
  std::string request_id;    // idempotency key of the caller's choice; empty: none
  std::string network_arch;  // required
  std::string platform;      // required unless the operator's configuration has a default
  // `hf_model://<org>/<model>` or an absolute path inside the container. Required.
  std::string model_path;
  // cosmos-predict2.5 with a hf_model:// path: the registered key (base-2b, base-14b, ...).
  std::string model_key;
  std::vector<std::string> mounts;  // "SRC:DST" or "SRC:DST:ro"
  std::string hf_cache;             // host directory, mounted, and HF_HOME set to it; empty: none
  std::map<std::string, std::string> env;  // plain names of service.yaml only, never a secret
  // Optional flags of the arch's command, by their name in service.yaml (`option`), as text.
  std::map<std::string, std::string> arch_options;
  // Options of the platform, by the names that its driver takes (slurm: partition, account, ...).
  std::map<std::string, std::string> platform_options;
  std::optional<double> idle_timeout_minutes;
  GpuMode gpu_mode = GpuMode::kUnspecified;
  int gpu_count = 1;                 // when gpu_ids is empty
  std::vector<std::string> gpu_ids;  // indices or UUIDs; empty: chosen for the caller
  // Start-up limits; zero: the defaults of ReadinessConfig (600 s without progress, 2 h in all).
  absl::Duration progress_timeout = absl::ZeroDuration();
  absl::Duration startup_timeout = absl::ZeroDuration();
  bool keep_failed = false;  // leave the container of a FAILED service for inspection
};

}  // namespace tao::launch
