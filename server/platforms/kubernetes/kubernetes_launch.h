#pragma once

// One start on a cluster, step by step, wherever an earlier one was cut off. Externally
// synchronised; lives for one Launch.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/platforms/kubernetes/kubernetes_platform.h"

namespace tao::platforms {

// What is kept in driver_state.
inline constexpr char kForeign[] = "foreign";  // of another tool; set by server/lifecycle
inline constexpr char kStateContext[] = "context", kStateNamespace[] = "namespace";
inline constexpr char kStateReached[] = "reached";  // how: one of the next two; empty: not yet
inline constexpr char kReachedByForward[] = "port-forward", kReachedByAddress[] = "address";
inline constexpr char kStateHost[] = "host", kStatePort[] = "port";  // of the address
// Whose the address is: kOfBalancer's, or a node's (its name).
inline constexpr char kStateOf[] = "address_of", kOfBalancer[] = "(load balancer)";
inline constexpr char kStateCreating[] = "creating";  // there may be a Job that nobody has seen yet

// Whether a call may have been carried out all the same.
inline bool CouldNotTell(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

class KubernetesLaunch {
 public:
  KubernetesLaunch(const KubernetesPlatform& platform, const launch::LaunchPlan& plan,
                   const KubernetesOptions& options, KubernetesTarget target,
                   LaunchSession& session);

  // Looks for the Job of an earlier try. Changes nothing.
  absl::Status Find();
  // The rest. On an error what was made is still there.
  absl::StatusOr<PlatformJob> Run();

 private:
  KubectlCall Call(std::vector<std::string> arguments) const;
  KubectlCall Creation(const char* output, std::string object) const;
  absl::StatusOr<JobAndPods> Look() const;
  std::string Name() const { return ObjectName(plan_.job_id); }
  absl::Status SaveState(std::map<std::string, std::string> reached);

  absl::Status CreateJob();
  // The Job whose creation got no answer, if it is there.
  absl::StatusOr<bool> FindLate();
  absl::Status CreateSecrets();
  absl::Status CreateService();
  // An object that the Job owns. One that an earlier try of this Job made is left as it is; one of
  // an earlier Job of ours is replaced.
  absl::Status CreateOwned(const char* kind, const std::string& name, const std::string& object);
  Owner OwnerOfAll() const;
  std::string ImagePullSecret() const;
  std::map<std::string, base::Secret> Secrets() const;  // of the container's environment

  // True: it runs; false: it has run, and ended.
  absl::StatusOr<bool> WaitUntilItRuns();
  absl::Status ReportWhy(const JobAndPods& objects);
  absl::Status Wait();

  absl::StatusOr<PlatformJob> ReachIt();
  // Empty: there is none, or it cannot be reached.
  absl::StatusOr<std::string> WaitForAddress(bool must_answer);
  // What driver_state says of the place; empty as above.
  absl::StatusOr<std::map<std::string, std::string>> FindNodePort(bool must_answer);
  absl::StatusOr<ServiceView> LookAtService() const;
  absl::StatusOr<PlatformJob> Reached(std::map<std::string, std::string> place);
  absl::StatusOr<PlatformJob> Forward();
  PlatformJob Job() const;

  const KubernetesPlatform& platform_;
  const launch::LaunchPlan& plan_;
  const KubernetesOptions& options_;
  const KubernetesTarget target_;
  LaunchSession& session_;
  base::Backoff poll_;
  std::map<std::string, std::string> state_;
  std::string job_uid_;  // empty: there is no Job yet
  // Since when it is what it is now; InfiniteFuture: it is not.
  absl::Time trouble_since_ = absl::InfiniteFuture(), pending_since_ = absl::InfiniteFuture();
  absl::Time service_since_ = absl::InfinitePast();
};

}  // namespace tao::platforms
