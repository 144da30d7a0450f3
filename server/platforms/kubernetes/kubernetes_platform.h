#pragma once

// The kubernetes platform: a service is a Job with one pod, a Service before it, and the Secrets
// that it needs, all named tao-JOB_ID. Everything goes through the kubectl program, so that its
// kubeconfig, contexts and log-in programs hold here too.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <string>
#include <vector>

#include "server/base/backoff.h"
#include "server/catalog/catalog.h"
#include "server/platforms/kubernetes/kubectl.h"
#include "server/platforms/kubernetes/kubernetes_options.h"
#include "server/platforms/kubernetes/kubernetes_parse.h"
#include "server/platforms/kubernetes/kubernetes_render.h"
#include "server/platforms/kubernetes/kubernetes_state.h"
#include "server/platforms/platform.h"
#include "server/platforms/tunnels.h"

namespace tao::platforms {

struct KubernetesConfig {
  std::string kubectl_program = "kubectl";  // a name in PATH, or a path
  std::string daemon_id;                    // StateDirectory::daemon_id()
  // Every name of Catalog::secrets(): kubectl inherits none of them.
  std::vector<std::string> secret_names = {"HF_TOKEN", "NGC_KEY", "LEPTON_AUTH_TOKEN",
                                           "BREV_API_TOKEN"};
  catalog::EnvironmentLookup environment;  // of the daemon; empty: its real one
  // Of a pod that does not run yet, or no more.
  base::BackoffOptions poll = {.first = absl::Milliseconds(200), .longest = absl::Seconds(2)};
  absl::Duration stop_limit = absl::Minutes(2);  // until the pods are gone; then it is said
};

// FailedPrecondition: what only a host of its own can give (ids, Tegra).
absl::Status CheckGpuRequest(const launch::GpuRequest& request);

class KubernetesPlatform final : public Platform {
 public:
  // `tunnels` outlives it.
  KubernetesPlatform(KubernetesConfig config, Tunnels& tunnels);

  const PlatformTraits& traits() const override;
  absl::Status CheckOptions(const std::map<std::string, std::string>& options) const override;
  std::vector<CheckItem> Check(const CheckRequest& request, absl::Duration deadline) override;
  // The cluster chooses: none are leased here.
  absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) override;
  // A Job of ours under the plan's name is gone on with, wherever its start was cut off.
  absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                     LaunchSession& session) override;
  void Adopt(const PlatformJob& job) override;
  absl::StatusOr<PlatformState> Observe(const PlatformJob& job) override;
  Endpoint EndpointOf(const PlatformJob& job) const override;
  // It needs platform_job_id: the name of a Job in the namespace that is the daemon's default.
  absl::Status CheckForeign(const PlatformJob& job) const override;
  // Returns when the pods are gone, so that their GPUs are free. Only objects with our labels are
  // touched, unless driver_state has "foreign" (an entry of another tool).
  absl::Status Stop(const PlatformJob& job, const StopOptions& options,
                    StopSession& session) override;
  absl::Status StreamLogs(const PlatformJob& job, const LogOptions& options, LogSink& sink,
                          const base::CancelToken& cancel) override;
  absl::StatusOr<std::vector<FoundJob>> FindOurs() override;

 private:
  // Which cluster and namespace: the context is named, so that it cannot change under us.
  // FailedPrecondition when there is no kubeconfig: kubectl would ask localhost:8080.
  absl::StatusOr<KubernetesTarget> TargetOf(const KubernetesOptions& options,
                                            absl::Duration timeout) const;
  absl::StatusOr<KubernetesTarget> TargetOf(const PlatformJob& job) const;
  TunnelSpec TunnelOf(const KubernetesTarget& target, const std::string& job_id,
                      int local_port) const;
  // The Job and its pods, when they are there; with "jobs,pods,services" its Service too.
  absl::StatusOr<JobAndPods> Look(const KubernetesTarget& target, const std::string& selector,
                                  const std::string& job_id, const base::CancelToken* cancel,
                                  const char* kinds) const;
  // Of what driver_state says of its address, what is otherwise now.
  std::map<std::string, std::string> MovedOf(const PlatformJob& job, const KubernetesTarget& target,
                                             const JobAndPods& objects) const;
  // The outer address of the pod's node as far as we may know it; empty: none.
  absl::StatusOr<std::string> AddressOfNode(const KubernetesTarget& target, const PodView& pod,
                                            const base::CancelToken* cancel) const;

  // What a Stop is about.
  struct Ending {
    std::string job_id;
    std::string name;      // of the Job
    std::string labels;    // a selector of all of it
    bool by_name = false;  // another tool's: its Job and pods may have no label that we know
  };
  Ending EndingOf(const PlatformJob& job) const;
  absl::StatusOr<JobAndPods> LookAt(const KubernetesTarget& target, const Ending& ending,
                                    const base::CancelToken* cancel) const;
  absl::Status EndJob(const KubernetesTarget& target, const Ending& ending,
                      const base::CancelToken& cancel) const;
  absl::Status Remove(const char* kind, const KubernetesTarget& target, const Ending& ending,
                      const base::CancelToken& cancel) const;
  // Waits a moment for what an interrupted kubectl may still have made.
  absl::Status AwaitLate(const KubernetesTarget& target, const Ending& ending,
                         const base::CancelToken& cancel) const;
  // All of it; and what comes late, when `late`.
  absl::Status RemoveAll(const KubernetesTarget& target, const std::string& job_id, bool late,
                         const base::CancelToken& cancel) const;
  // What the cluster says of it, for an error; empty: nothing.
  std::string LastEventsOf(const KubernetesTarget& target, const std::string& object) const;

  friend class KubernetesLaunch;
  friend class KubernetesCheck;
  const KubernetesConfig config_;
  const Kubectl kubectl_;
  Tunnels& tunnels_;
};

}  // namespace tao::platforms
