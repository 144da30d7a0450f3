#pragma once

// The local-docker platform: a service is a container of the Docker engine of this host. Everything
// goes through the docker program, so that its contexts and registry logins hold here too.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <optional>
#include <string>
#include <vector>

#include "server/catalog/catalog.h"
#include "server/io/subprocess.h"
#include "server/platforms/docker/docker_parse.h"
#include "server/platforms/host_gpus.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

// How this daemon reaches a container.
enum class DockerReach {
  kLocalhost,  // through the port that it publishes on 127.0.0.1
  kNetwork,    // by its name, on the docker network (the daemon is itself a container there)
};

inline constexpr char kDefaultDockerNetwork[] = "tao_default";
inline constexpr absl::Duration kDockerAskTimeout = absl::Seconds(30);     // inspect, ps, network
inline constexpr absl::Duration kDockerRemoveTimeout = absl::Seconds(60);  // rm waits for the end
inline constexpr absl::Duration kDockerRound = absl::Milliseconds(200);    // between two looks

// Waits one round, or until `cancel` (may be null) fires.
void WaitDockerRound(const base::CancelToken* cancel);

struct LocalDockerConfig {
  std::string docker_program = "docker";  // a name in PATH, or a path
  std::string daemon_id;                  // StateDirectory::daemon_id()
  std::string network;                    // empty: $DOCKER_NETWORK, or tao_default
  DockerReach reach = DockerReach::kLocalhost;
  absl::Duration pull_timeout = absl::Hours(2);
  absl::Duration run_timeout = absl::Minutes(5);  // of docker run; the image is there by then
  // Every name of Catalog::secrets(): docker inherits none of them, but for those of the plan that
  // `docker run` hands to the container.
  std::vector<std::string> secret_names = {"HF_TOKEN", "NGC_KEY", "LEPTON_AUTH_TOKEN",
                                           "BREV_API_TOKEN"};
  HostGpuSources gpu_sources;
  catalog::EnvironmentLookup environment;  // of the daemon; empty: its real one
};

class LocalDockerPlatform final : public Platform {
 public:
  explicit LocalDockerPlatform(LocalDockerConfig config);

  const PlatformTraits& traits() const override;
  std::vector<CheckItem> Check(const CheckRequest& request, absl::Duration deadline) override;
  absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) override;
  // A container of ours that runs is found. One that does not is what an unconfirmed start left: it
  // is removed, and started again.
  absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                     LaunchSession& session) override;
  absl::StatusOr<PlatformState> Observe(const PlatformJob& job) override;
  Endpoint EndpointOf(const PlatformJob& job) const override;
  // Only a container with our labels is touched, unless driver_state has "foreign" (an entry of
  // another tool, whose container has the job_id as its name). Our network goes with the last one.
  absl::Status Stop(const PlatformJob& job, const StopOptions& options,
                    StopSession& session) override;
  absl::Status StreamLogs(const PlatformJob& job, const LogOptions& options, LogSink& sink,
                          const base::CancelToken& cancel) override;
  absl::StatusOr<std::vector<FoundJob>> FindOurs() override;

 private:
  // `docker ARGUMENTS` without a secret in its environment.
  io::SubprocessOptions Docker(std::vector<std::string> arguments, absl::Duration timeout) const;
  // Runs it. A failure of the program itself is an error, a non-zero exit is not.
  absl::StatusOr<io::SubprocessResult> Run(const io::SubprocessOptions& options) const;
  absl::StatusOr<std::string> EngineHost(absl::Duration timeout) const;
  absl::StatusOr<std::string> EngineVersion(absl::Duration timeout) const;
  bool IsOurs(const ContainerFacts& facts, const PlatformJob& job) const;

  // nullopt: certainly no such container.
  absl::StatusOr<std::optional<ContainerFacts>> Inspect(const std::string& name) const;
  // The job that already runs, or nullopt with the name free to be used.
  absl::StatusOr<std::optional<PlatformJob>> AdoptOrClear(const std::string& job_id,
                                                          const base::CancelToken& cancel) const;
  absl::Status PullIfAbsent(const launch::LaunchPlan& plan, LaunchSession& session) const;
  absl::Status EnsureNetwork(LaunchSession& session) const;
  // The engine does not keep two creations at the same moment apart: then several networks have one
  // name, and nothing can be asked or started by it. Leaves one of them, as far as none is in use.
  absl::Status MergeNetworks() const;
  // What RenderNetworkInspect says, with such networks merged first.
  absl::StatusOr<io::SubprocessResult> InspectNetwork(const base::CancelToken* cancel) const;
  absl::StatusOr<PlatformJob> RunContainer(const launch::LaunchPlan& plan,
                                           LaunchSession& session) const;
  absl::Status Remove(const std::string& name) const;
  // Removes our container as soon as it is there, and looks for it `rounds` times: the engine
  // finishes late what a docker program that was ended had begun.
  absl::Status RemoveLate(const std::string& name, int rounds) const;
  absl::Status RemoveNetworkIfLast() const;

  const LocalDockerConfig config_;
};

}  // namespace tao::platforms
