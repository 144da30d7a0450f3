#pragma once

// Pure: what the docker program says -> our types.

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/platforms/platform.h"
#include "server/registry/service_record.h"

namespace tao::platforms {

// What RenderInspect asks for.
struct ContainerFacts {
  std::string name;
  std::string status;  // docker's word: "created", "running", ...
  int exit_code = 0;
  bool oom_killed = false;
  std::string error;  // why the engine could not start it
  std::map<std::string, std::string> labels;
  int host_port = 0;  // that 8080 is published at; 0: none
};

// One for each line; blank lines are skipped (docker prints one for a container that is not there).
absl::StatusOr<std::vector<ContainerFacts>> ParseContainers(std::string_view output);

PlatformState ToPlatformState(const ContainerFacts& facts);

// What RenderNetworkInspect asks for.
struct NetworkFacts {
  std::string daemon_id;  // its tao-daemon label; empty: not made by a daemon
  int endpoints = 0;
};
absl::StatusOr<NetworkFacts> ParseNetwork(std::string_view output);

// The ids of the networks that are called exactly `name`, out of what RenderNetworkList asks for.
std::vector<std::string> ParseNetworkIds(std::string_view output, std::string_view name);

// What RenderTakenGpus asks for: the GPUs that services have been given.
std::set<std::string> ParseTakenGpus(std::string_view output);

// Whether RenderRuntimes' answer has the nvidia runtime.
absl::StatusOr<bool> ParseHasNvidiaRuntime(std::string_view output);

// `docker --version`. FailedPrecondition, with advice: older than 20.10, or not docker.
absl::Status CheckDockerVersion(std::string_view output);

// What a failure asks the driver to do, where it is not only an error.
enum class DockerFailure {
  kOther,
  kNoContainer,        // certainly not there
  kNameTaken,          // a container has the name
  kPortTaken,          // somebody has the host port
  kRemovalInProgress,  // the engine is removing it
  kNoImage,
  kNoNetwork,
  kNetworkExists,
  kNetworkAmbiguous,  // several networks have the name
  kNetworkInUse,
};

// One row: a text of docker or its engine, lower case, what it means and what to do.
struct DockerFailureRule {
  std::string_view text;
  DockerFailure kind;
  absl::StatusCode code;
  std::string_view advice;  // a sentence without its full stop; may be empty
};
const std::vector<DockerFailureRule>& DockerFailureRules();

// What docker said, on one line: without its hints about --help, and without secrets.
std::string DockerWords(std::string_view words);

DockerFailure FailureOf(std::string_view words);

// The error for a docker program that ended with `exit_code` and `words` on stderr; `what` says
// what failed: "image x could not be pulled".
absl::Status DockerError(std::string_view what, int exit_code, std::string_view words);

// Counts the layers of one `docker pull` from its lines.
class PullProgress {
 public:
  explicit PullProgress(std::string image) : image_(std::move(image)) {}
  // Whether the progress has changed.
  bool OnLine(std::string_view line);
  registry::Progress progress() const;

 private:
  const std::string image_;
  std::set<std::string, std::less<>> layers_, done_;
};

}  // namespace tao::platforms
