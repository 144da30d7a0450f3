// LocalDockerPlatform's docker network: made when missing, removed with the last container on it.

#include <absl/strings/str_format.h>

#include "server/base/status.h"
#include "server/platforms/docker/docker_render.h"
#include "server/platforms/local_docker/local_docker_platform.h"

namespace tao::platforms {
namespace {

// Another daemon may remove it while we look.
constexpr int kMaxSurprises = 5;

}  // namespace

absl::Status LocalDockerPlatform::MergeNetworks(const DockerEngine& engine) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult listed,
                   Run(Docker(engine, RenderNetworkList(config_.network), kDockerAskTimeout)));
  if (listed.exit_code != 0) {
    return EngineError(engine, "docker could not list its networks", listed.exit_code, listed.err);
  }
  // Whoever merges at the same time must leave the same one: one that is in use or somebody else's,
  // else the first. An id is not ambiguous, and the engine removes none that is in use.
  std::vector<std::string> removable;
  bool keeps_one = false;
  for (const std::string& id : ParseNetworkIds(listed.out, config_.network)) {
    ASSIGN_OR_RETURN(const io::SubprocessResult present,
                     Run(Docker(engine, RenderNetworkInspect(id), kDockerAskTimeout)));
    if (present.exit_code != 0) continue;  // merged by another one
    ASSIGN_OR_RETURN(const NetworkFacts facts, ParseNetwork(present.out));
    const bool ours = !facts.daemon_id.empty();  // of a daemon of this kind, that is
    if (ours && facts.endpoints == 0) {
      removable.push_back(id);
    } else {
      keeps_one = true;
    }
  }
  if (!keeps_one && !removable.empty()) removable.erase(removable.begin());
  for (const std::string& id : removable) {
    RETURN_IF_ERROR(Run(Docker(engine, {"network", "rm", id}, kDockerRemoveTimeout)).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<io::SubprocessResult> LocalDockerPlatform::InspectNetwork(
    const DockerEngine& engine, const base::CancelToken* cancel) const {
  io::SubprocessOptions look =
      Docker(engine, RenderNetworkInspect(config_.network), kDockerAskTimeout);
  look.cancel = cancel;
  absl::StatusOr<io::SubprocessResult> seen = Run(look);
  for (int surprises = 0; surprises < kMaxSurprises; ++surprises) {
    if (!seen.ok() || seen->exit_code == 0 ||
        FailureOf(seen->err) != DockerFailure::kNetworkAmbiguous) {
      break;
    }
    RETURN_IF_ERROR(MergeNetworks(engine));
    seen = Run(look);
  }
  return seen;
}

absl::Status LocalDockerPlatform::EnsureNetwork(const Launching& launch) const {
  const DockerEngine& engine = launch.state.engine;
  LaunchSession& session = launch.session;
  const std::string what = "docker network " + config_.network;
  ASSIGN_OR_RETURN(const io::SubprocessResult present, InspectNetwork(engine, &session.cancel()));
  if (present.exit_code == 0) return absl::OkStatus();
  if (FailureOf(present.err) != DockerFailure::kNoNetwork) {
    return EngineError(engine, what + " could not be looked up", present.exit_code, present.err);
  }
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kCreateNetwork));
  io::SubprocessOptions create =
      Docker(engine, RenderNetworkCreate(config_.network, config_.daemon_id), kDockerRemoveTimeout);
  create.cancel = &session.cancel();
  ASSIGN_OR_RETURN(const io::SubprocessResult created, Run(create));
  if (created.exit_code != 0 && FailureOf(created.err) != DockerFailure::kNetworkExists) {
    return EngineError(engine, what + " could not be created", created.exit_code, created.err);
  }
  return session.EndStep(registry::Step::kCreateNetwork);
}

absl::Status LocalDockerPlatform::RemoveNetworkIfLast(const DockerEngine& engine) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult present, InspectNetwork(engine, /*cancel=*/nullptr));
  if (present.exit_code != 0) {
    const DockerFailure failure = FailureOf(present.err);
    if (failure == DockerFailure::kNoNetwork) return absl::OkStatus();
    if (failure == DockerFailure::kNetworkAmbiguous) return absl::OkStatus();  // all are in use
    return EngineError(engine, "docker network " + config_.network + " could not be looked up",
                       present.exit_code, present.err);
  }
  ASSIGN_OR_RETURN(const NetworkFacts facts, ParseNetwork(present.out));
  if (facts.daemon_id != config_.daemon_id || facts.endpoints > 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const io::SubprocessResult removed,
                   Run(Docker(engine, {"network", "rm", config_.network}, kDockerRemoveTimeout)));
  const DockerFailure failure = FailureOf(removed.err);
  if (removed.exit_code == 0 || failure == DockerFailure::kNoNetwork ||
      failure == DockerFailure::kNetworkInUse) {
    return absl::OkStatus();
  }
  return EngineError(engine, "docker network " + config_.network + " could not be removed",
                     removed.exit_code, removed.err);
}

}  // namespace tao::platforms
