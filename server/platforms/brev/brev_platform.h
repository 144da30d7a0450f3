#pragma once

// The brev platform: a service is a container on an instance (a rented machine) of NVIDIA Brev,
// one that there is (option instance-id) or one that Start makes and Stop deletes. The brev program
// makes, lists and deletes instances; everything on them goes over ssh, with the configuration that
// brev writes. The endpoint is a tunnel, unless publish-address asks for the instance's own.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/base/mutex.h"
#include "server/catalog/catalog.h"
#include "server/platforms/brev/brev_cli.h"
#include "server/platforms/brev/brev_instance.h"
#include "server/platforms/brev/brev_state.h"
#include "server/platforms/docker/gpu_reservations.h"
#include "server/platforms/platform.h"
#include "server/platforms/shared_look.h"
#include "server/platforms/tunnels.h"

namespace tao::platforms {

struct BrevConfig {
  std::string daemon_id;              // StateDirectory::daemon_id()
  Tunnels* tunnels = nullptr;         // required; outlives the platform
  std::string brev_program = "brev";  // a name in PATH, or a path
  std::string ssh_program = "ssh";
  // Every name of Catalog::secrets(): no helper program inherits them.
  std::vector<std::string> secret_names = {"HF_TOKEN", "NGC_KEY", "LEPTON_AUTH_TOKEN",
                                           "BREV_API_TOKEN"};
  catalog::EnvironmentLookup environment;           // of the daemon; empty: its real one
  absl::Duration create_limit = absl::Minutes(30);  // until a new instance is RUNNING
  absl::Duration ssh_limit = absl::Minutes(12);     // RUNNING is said long before sshd answers
  absl::Duration poll_interval = absl::Seconds(5);  // longest between two looks of both
  absl::Duration pull_limit = absl::Hours(2);
  absl::Duration run_limit = absl::Minutes(5);  // of docker run; the image is there by then
  // Between two looks at what is being removed.
  absl::Duration removal_interval = absl::Seconds(1);
  // Of brev ls, and of the question to an instance, when jobs are observed; and who waits for them.
  absl::Duration look_limit = absl::Seconds(20);
  SharedLookOptions looks;
  // Where the CLI would find a token that it takes for its own, and ignore its login.
  std::string pod_token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
};

class BrevPlatform final : public Platform {
 public:
  explicit BrevPlatform(BrevConfig config);

  const PlatformTraits& traits() const override;
  absl::Status CheckOptions(const std::map<std::string, std::string>& options) const override;
  // Runs brev refresh, which writes ssh's configuration; starts nothing.
  std::vector<CheckItem> Check(const CheckRequest& request, absl::Duration deadline) override;
  // None: the instance's are chosen by Launch.
  absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) override;
  absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                     LaunchSession& session) override;
  void Adopt(const PlatformJob& job) override;
  // Never asks an instance that does not run, and never starts one. An instance that is not listed
  // is Unavailable: another login or organisation lists others. Jobs share what is asked, and a
  // brev or an instance that does not answer holds nobody for more than 4 * looks.patience.
  absl::StatusOr<PlatformState> Observe(const PlatformJob& job) override;
  Endpoint EndpointOf(const PlatformJob& job) const override;
  // Its instance_id.
  absl::Status CheckForeign(const PlatformJob& job) const override;
  // The instance goes only if Start made it. A container on an instance that was stopped stays
  // there, dead.
  absl::Status Stop(const PlatformJob& job, const StopOptions& options,
                    StopSession& session) override;
  absl::Status StreamLogs(const PlatformJob& job, const LogOptions& options, LogSink& sink,
                          const base::CancelToken& cancel) override;
  // The instances of this daemon. Containers on instances that others made are known by their
  // records alone.
  absl::StatusOr<std::vector<FoundJob>> FindOurs() override;

 private:
  BrevInstanceShell ShellOf(const std::string& instance_name) const;
  absl::StatusOr<std::optional<SshAlias>> AliasOf(const std::string& instance_name,
                                                  absl::Duration timeout,
                                                  const base::CancelToken* cancel) const;
  bool IsOurs(const ContainerFacts& facts, const std::string& job_id, bool foreign) const;

  // The parts of Check: of one that would be made, and of one that runs.
  void CheckNewInstance(const CheckRequest& request, absl::Duration limit,
                        std::vector<CheckItem>& items) const;
  void CheckInstance(const std::string& name, const CheckRequest& request, absl::Time end,
                     std::vector<CheckItem>& items) const;

  // The parts of Launch, in order. `state` is what is saved of it.
  absl::StatusOr<PlatformJob> Start(const launch::LaunchPlan& plan, LaunchSession& session,
                                    BrevState& state);
  absl::Status CreateInstance(const launch::LaunchPlan& plan, LaunchSession& session,
                              BrevState& state) const;
  absl::StatusOr<BrevInstance> WaitUsable(const launch::LaunchPlan& plan, LaunchSession& session,
                                          BrevState& state) const;
  absl::StatusOr<SshAlias> WaitForSsh(const std::string& instance_name,
                                      LaunchSession& session) const;
  // Whether our container runs already; else its name is free to be used.
  absl::StatusOr<bool> AdoptOrClear(const BrevInstanceShell& shell, const std::string& job_id,
                                    int instance_port, const base::CancelToken& cancel) const;
  absl::Status PullIfAbsent(const launch::LaunchPlan& plan, const BrevInstanceShell& shell,
                            LaunchSession& session) const;
  absl::StatusOr<std::vector<std::string>> ReserveGpus(const launch::LaunchPlan& plan,
                                                       const BrevInstanceShell& shell,
                                                       const base::CancelToken& cancel);
  // Returns the port of the instance.
  absl::StatusOr<int> RunContainer(const launch::LaunchPlan& plan, const BrevInstanceShell& shell,
                                   LaunchSession& session, BrevState& state);
  absl::Status OpenEndpoint(const launch::LaunchPlan& plan, const SshAlias& alias,
                            LaunchSession& session, PlatformJob& job, BrevState& state) const;
  TunnelSpec TunnelOf(const BrevState& state, int host_port, int instance_port) const;

  // The question for the containers on an instance, that all jobs there share.
  std::shared_ptr<SharedLook<std::vector<ContainerFacts>>> LookOn(const std::string& instance_name);
  void ForgetLook(const std::string& instance_name);
  // The job's instance; nullopt: brev does not list it.
  absl::StatusOr<std::optional<BrevInstance>> InstanceOf(const BrevState& state,
                                                         const base::CancelToken* cancel) const;
  // nullopt: certainly no such container. Brings ssh's configuration up to date where that helps.
  absl::StatusOr<std::optional<ContainerFacts>> InspectOn(const BrevInstanceShell& shell,
                                                          const std::string& job_id,
                                                          const base::CancelToken* cancel) const;
  // `late`: a docker run of ours may still be at work on the instance.
  absl::Status RemoveContainer(const BrevInstanceShell& shell, const std::string& job_id,
                               bool foreign, bool late, const base::CancelToken* cancel) const;
  absl::Status DeleteOwned(const std::string& job_id, const base::CancelToken* cancel) const;
  absl::Status Undo(const std::string& job_id, const BrevState& state);

  const BrevConfig config_;
  const std::string ssh_config_;  // ~/.brev/ssh_config
  const BrevCli cli_;
  GpuReservations gpus_;

  // The last members: their threads use the others.
  SharedLook<std::vector<BrevInstance>> instances_;
  base::Mutex looks_mutex_;
  std::map<std::string, std::shared_ptr<SharedLook<std::vector<ContainerFacts>>>> looks_
      ABSL_GUARDED_BY(looks_mutex_);  // by instance
};

}  // namespace tao::platforms
