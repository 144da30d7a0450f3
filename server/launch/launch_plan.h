#pragma once

// Pure: request + catalog -> LaunchPlan, which a platform's driver carries out without asking
// anything else. No I/O, no clock; the environment comes in as a lookup.

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/catalog/catalog.h"
#include "server/launch/launch_request.h"

namespace tao::launch {

// The shell line that the container runs, but for the port: where the container has no network
// namespace of its own (local-process, slurm) the value after the arch's `port_flag` is the leased
// port.
class InnerCommand {
 public:
  InnerCommand() = default;
  // `words` are quoted already (base/shell_quote.h) and joined by one space; word `port_word` is
  // the port.
  InnerCommand(std::vector<std::string> words, std::optional<size_t> port_word);

  // Whether the port can be chosen. Without it the container serves 8080, alone on its host.
  bool has_port() const { return port_word_.has_value(); }
  // `umask 0 && ...` with `port` in its place. `port` is ignored without has_port().
  std::string Render(int port) const;

 private:
  std::vector<std::string> words_;
  std::optional<size_t> port_word_;
};

struct Mount {
  std::string source;       // absolute path on the host
  std::string destination;  // absolute path in the container
  bool read_only = false;
};

struct GpuRequest {
  GpuMode mode = GpuMode::kAuto;  // never kUnspecified
  int count = 1;                  // ids.size() when ids are given; ignored for kNone
  std::vector<std::string> ids;   // as asked for; empty: the lease chooses
};

struct LaunchPlan {
  std::string job_id;
  std::string network_arch;
  std::string platform;
  std::string image;         // reference to pull and run
  std::string image_source;  // for people: "IMAGE_COSMOS_RL", "versions.yaml tao_toolkit.cosmos_rl"
  std::string model_path;
  catalog::ModelPathKind model_path_kind = catalog::ModelPathKind::kFile;
  // What `model` may say to mean this service: model_path, and `org/name` of a hf_model:// path.
  std::vector<std::string> served_names;
  InnerCommand inner_command;
  // Plain environment of the container, in order: name, value. Never a secret. Complete: HF_HOME is
  // in it too.
  std::vector<std::pair<std::string, std::string>> env;
  // Names whose values the driver takes from the daemon's environment, set there now, and hands on
  // as environment only.
  std::vector<std::string> secret_names;
  std::vector<Mount> mounts;  // the HF cache's among them
  GpuRequest gpus;
  // As asked for; the platform's driver has checked them (Platform::CheckOptions).
  std::map<std::string, std::string> platform_options;
  std::string shm_size = "16g";
};

// What BuildLaunchPlan needs beside the request.
struct LaunchContext {
  std::string job_id;    // base::NewUuid()
  std::string platform;  // the request's, or the operator's default
  // Those that `platform` must be one of; nullopt when the caller found it already.
  std::optional<std::vector<std::string>> platform_choices;
  std::string execution_backend;  // the platform's value of TAO_EXECUTION_BACKEND
  GpuMode default_gpu_mode = GpuMode::kAuto;
  // local-process: there is no container, so the service sees the host's files as they are. Then
  // --hf-cache is HF_HOME without a mount, and a mount must have equal sides (the plan drops it).
  bool host_filesystem = false;
  // For IMAGE_<KEY>, for which secrets exist, and to refuse a request that holds a secret's value.
  catalog::EnvironmentLookup environment;
};

// Every rule that can be checked without the platform. InvalidArgument carries all findings at once
// (base::ErrorDetails::violations, field paths as in StartRequest), each with advice;
// FailedPrecondition for a secret that is needed and missing ("export HF_TOKEN=...").
absl::StatusOr<LaunchPlan> BuildLaunchPlan(const LaunchRequest& request,
                                           const catalog::Catalog& catalog,
                                           const LaunchContext& context);

}  // namespace tao::launch
