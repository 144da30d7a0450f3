#pragma once

// The local-docker platform: a service is a container of the Docker engine that docker means,
// mostly that of this host. Everything goes through the docker program, so that its contexts and
// registry logins hold here too. A service stays on the engine that it was launched on
// (local_docker_engine.h). What an engine on another host publishes is reached by a tunnel, or
// where publish-address says.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/base/mutex.h"
#include "server/catalog/catalog.h"
#include "server/io/subprocess.h"
#include "server/platforms/docker/docker_parse.h"
#include "server/platforms/docker/gpu_reservations.h"
#include "server/platforms/host_gpus.h"
#include "server/platforms/local_docker/local_docker_engine.h"
#include "server/platforms/platform.h"
#include "server/platforms/tunnels.h"

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
  std::string ssh_program = "ssh";        // of tunnels
  std::string daemon_id;                  // StateDirectory::daemon_id()
  Tunnels* tunnels = nullptr;             // of engines on other hosts; outlives the platform
  std::string network;                    // empty: $DOCKER_NETWORK, or tao_default
  DockerReach reach = DockerReach::kLocalhost;
  absl::Duration pull_timeout = absl::Hours(2);
  absl::Duration run_timeout = absl::Minutes(5);  // of docker run; the image is there by then
  // How long a service of an engine on another host is dialled: while its host refuses, since the
  // container may not listen yet, and while there is no answer at all.
  absl::Duration refused_limit = absl::Minutes(10);
  absl::Duration no_answer_limit = absl::Seconds(30);
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
  absl::Status CheckOptions(const std::map<std::string, std::string>& options) const override;
  std::vector<CheckItem> Check(const CheckRequest& request, absl::Duration deadline) override;
  // None on an engine on another host: Launch chooses among its own.
  absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) override;
  // A container of ours that runs is found. One that does not is what an unconfirmed start left: it
  // is removed, and started again.
  absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                     LaunchSession& session) override;
  void Adopt(const PlatformJob& job) override;
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
  // One launch; RenderRun's context and what stands in driver_state come from it.
  struct Launching {
    const launch::LaunchPlan& plan;
    LaunchSession& session;
    LocalDockerState state;
    EngineAccess access;
    bool runs = false;  // the container does; what is left is the way to it
  };

  // `docker ARGUMENTS` on `engine`, without a secret in its environment.
  io::SubprocessOptions Docker(const DockerEngine& engine, std::vector<std::string> arguments,
                               absl::Duration timeout) const;
  // Runs it. A failure of the program itself is an error, a non-zero exit is not.
  absl::StatusOr<io::SubprocessResult> Run(const io::SubprocessOptions& options) const;
  // That docker means now.
  absl::StatusOr<DockerEngine> PresentEngine(absl::Duration timeout) const;
  // The job's; of a job that has none the one where FindOurs found it, else the present one.
  absl::StatusOr<DockerEngine> EngineOf(const PlatformJob& job);
  // FindOurs asks it too from now on.
  void Remember(const DockerEngine& engine);
  // Unavailable: the context by which `engine` is asked now means another one.
  absl::Status CheckContext(const DockerEngine& engine) const;
  absl::StatusOr<std::string> EngineVersion(const DockerEngine& engine,
                                            absl::Duration timeout) const;
  CheckItem RemoteGpuItem(const DockerEngine& engine, const launch::GpuRequest& gpus,
                          absl::Duration timeout) const;
  bool IsOurs(const ContainerFacts& facts, const PlatformJob& job) const;

  // nullopt: certainly no such container.
  absl::StatusOr<std::optional<ContainerFacts>> Inspect(const DockerEngine& engine,
                                                        const std::string& name) const;
  absl::StatusOr<std::vector<FoundJob>> FindOursOn(const DockerEngine& engine) const;

  // The parts of Launch.
  absl::StatusOr<Launching> Prepare(const launch::LaunchPlan& plan, LaunchSession& session) const;
  // The published port of the container that already runs, or nullopt with the name free to be
  // used.
  absl::StatusOr<std::optional<int>> AdoptOrClear(const Launching& launch) const;
  absl::Status PullIfAbsent(const Launching& launch) const;
  absl::StatusOr<std::vector<std::string>> ChooseGpus(const Launching& launch);
  absl::Status EnsureNetwork(const Launching& launch) const;
  // Returns the published port.
  absl::StatusOr<int> RunContainer(const Launching& launch);
  absl::StatusOr<PlatformJob> Finish(Launching& launch, std::optional<int> published);
  // The way to the port that an engine on another host publishes.
  absl::Status OpenEndpoint(Launching& launch, PlatformJob& job) const;
  absl::Status OpenTunnel(Launching& launch, PlatformJob& job) const;
  // OK when `state` has the address, or the container has ended; Unavailable: no way there.
  absl::Status Dial(Launching& launch, int port) const;
  TunnelSpec TunnelOf(const LocalDockerState& state, int host_port, int published) const;

  // The engine does not keep two creations at the same moment apart: then several networks have one
  // name, and nothing can be asked or started by it. Leaves one of them, as far as none is in use.
  absl::Status MergeNetworks(const DockerEngine& engine) const;
  // What RenderNetworkInspect says, with such networks merged first.
  absl::StatusOr<io::SubprocessResult> InspectNetwork(const DockerEngine& engine,
                                                      const base::CancelToken* cancel) const;
  absl::Status Remove(const DockerEngine& engine, const std::string& name) const;
  // Removes our container as soon as it is there, and looks for it `rounds` times: the engine
  // finishes late what a docker program that was ended had begun.
  absl::Status RemoveLate(const DockerEngine& engine, const std::string& name, int rounds) const;
  absl::Status RemoveNetworkIfLast(const DockerEngine& engine) const;

  const LocalDockerConfig config_;
  GpuReservations remote_gpus_;
  base::Mutex mutex_;
  std::set<DockerEngine> engines_ ABSL_GUARDED_BY(mutex_);  // of services, as far as they were seen
  std::map<std::string, DockerEngine> found_on_ ABSL_GUARDED_BY(mutex_);  // job_id -> engine
};

}  // namespace tao::platforms
