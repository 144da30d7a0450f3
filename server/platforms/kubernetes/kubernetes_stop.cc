// KubernetesPlatform's Stop: our objects by their labels, another tool's Job by the name in its
// entry. It is over when the pods are gone.

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/kubernetes/kubernetes_launch.h"

namespace tao::platforms {
namespace {

constexpr int kLateRounds = 10;
constexpr absl::Duration kLateRound = absl::Milliseconds(200);
constexpr char kForeignName[] = "platform_job_id";  // set by server/lifecycle
constexpr size_t kLongestName = 63;                 // of a Job: its pods have it as a label

}  // namespace

absl::Status KubernetesPlatform::CheckForeign(const PlatformJob& job) const {
  const auto found = job.driver_state.find(kForeignName);
  const std::string name = found == job.driver_state.end() ? "" : found->second;
  if (IsDnsSubdomain(name) && name.size() <= kLongestName) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "service %s was started by another tool, and its registry entry has %s as platform_job_id, "
      "which must be the name of its Job to stop it. End it with the tool that started it",
      job.job_id, name.empty() ? "nothing" : base::Quoted(name)));
}

KubernetesPlatform::Ending KubernetesPlatform::EndingOf(const PlatformJob& job) const {
  const auto found = job.driver_state.find(kForeignName);
  if (!job.driver_state.contains(kForeign) || found == job.driver_state.end()) {
    return {.job_id = job.job_id,
            .name = ObjectName(job.job_id),
            .labels = Selector(job.job_id, config_.daemon_id)};
  }
  return {.job_id = job.job_id,
          .name = found->second,
          // The label's value is the job_id, or with other tools the Job's own name.
          .labels = absl::StrFormat("%s in (%s,%s)", kJobLabel, job.job_id, found->second),
          .by_name = true};
}

absl::StatusOr<JobAndPods> KubernetesPlatform::LookAt(const KubernetesTarget& target,
                                                      const Ending& ending,
                                                      const base::CancelToken* cancel) const {
  if (!ending.by_name) return Look(target, ending.labels, ending.job_id, cancel, "jobs,pods");
  const std::string what = "the cluster could not be asked about Job " + ending.name;
  ASSIGN_OR_RETURN(const std::string job,
                   kubectl_.Ask(what, target,
                                {.arguments = {"get", "jobs", "--field-selector",
                                               "metadata.name=" + ending.name, "-o", "json"},
                                 .cancel = cancel}));
  ASSIGN_OR_RETURN(
      const std::string pods,
      kubectl_.Ask(what, target,
                   {.arguments = {"get", "pods", "-l", "job-name=" + ending.name, "-o", "json"},
                    .cancel = cancel}));
  return ParseJobOfAnyone(job, pods);
}

absl::Status KubernetesPlatform::EndJob(const KubernetesTarget& target, const Ending& ending,
                                        const base::CancelToken& cancel) const {
  // In the foreground: the Job goes after its pods. kubectl's default leaves them, and their GPUs,
  // for their grace period behind a Job that is gone.
  std::vector<std::string> which = {"delete", "jobs", "-l", ending.labels};
  if (ending.by_name) which = {"delete", "jobs", ending.name};
  RETURN_IF_ERROR(
      kubectl_
          .Ask("the Job of service " + ending.job_id + " could not be deleted", target,
               {.arguments = Joined(std::move(which),
                                    {"--cascade=foreground", "--ignore-not-found", "--wait=false"}),
                .cancel = &cancel})
          .status());
  const absl::Time end = absl::Now() + config_.stop_limit;
  base::Backoff poll(config_.poll);
  while (true) {
    ASSIGN_OR_RETURN(const JobAndPods left, LookAt(target, ending, &cancel));
    if (!left.job.has_value() && left.pods.empty()) return absl::OkStatus();
    if (absl::Now() >= end) {
      std::vector<std::string> names;
      for (const PodView& pod : left.pods) {
        names.push_back(absl::StrFormat("%s on node %s", pod.name, pod.node));
      }
      return absl::UnavailableError(
          absl::StrFormat("the cluster has not ended Job %s yet (pods: %s), and its GPUs are not "
                          "free. It is looked "
                          "at again; see kubectl describe pod, and whether the node is there",
                          ending.name, base::JoinedList(names)));
    }
    if (base::CancelledWithin(cancel, poll.Next())) {
      return absl::CancelledError("the end of Job " + ending.name + " was not waited for");
    }
  }
}

absl::Status KubernetesPlatform::Remove(const char* kind, const KubernetesTarget& target,
                                        const Ending& ending,
                                        const base::CancelToken& cancel) const {
  return kubectl_
      .Ask(
          absl::StrFormat("the %s with %s could not be deleted", kind, ending.labels), target,
          {.arguments = {"delete", kind, "-l", ending.labels, "--ignore-not-found", "--wait=false"},
           .cancel = &cancel})
      .status();
}

absl::Status KubernetesPlatform::AwaitLate(const KubernetesTarget& target, const Ending& ending,
                                           const base::CancelToken& cancel) const {
  for (int round = 0; round < kLateRounds; ++round) {
    ASSIGN_OR_RETURN(const JobAndPods found, LookAt(target, ending, &cancel));
    if (found.job.has_value()) break;
    if (base::CancelledWithin(cancel, kLateRound)) {
      return absl::CancelledError("Job " + ending.name + " was not looked for to the end");
    }
  }
  return absl::OkStatus();
}

absl::Status KubernetesPlatform::RemoveAll(const KubernetesTarget& target,
                                           const std::string& job_id, bool late,
                                           const base::CancelToken& cancel) const {
  const Ending ending = EndingOf({.job_id = job_id});
  if (late) RETURN_IF_ERROR(AwaitLate(target, ending, cancel));
  RETURN_IF_ERROR(EndJob(target, ending, cancel));
  RETURN_IF_ERROR(Remove("services", target, ending, cancel));
  return Remove("secrets", target, ending, cancel);
}

absl::Status KubernetesPlatform::Stop(const PlatformJob& job, const StopOptions& /*options*/,
                                      StopSession& session) {
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kCloseTunnel));
  tunnels_.Close(job.job_id);
  RETURN_IF_ERROR(session.EndStep(registry::Step::kCloseTunnel));
  const absl::StatusOr<KubernetesTarget> target = TargetOf(job);
  if (!target.ok()) {
    // Where it is to be is saved before anything of it is made.
    if (job.driver_state.empty()) return absl::OkStatus();
    return absl::UnavailableError(std::string(base::ToStd(target.status().message())));
  }
  const Ending ending = EndingOf(job);
  const base::CancelToken& cancel = session.cancel();
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kEndJob));
  // The API may still be at work on what a kubectl asked for that got no answer, or died.
  if (job.driver_state.contains(kStateCreating)) {
    RETURN_IF_ERROR(AwaitLate(*target, ending, cancel));
  }
  RETURN_IF_ERROR(EndJob(*target, ending, cancel));
  RETURN_IF_ERROR(session.EndStep(registry::Step::kEndJob));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveService));
  RETURN_IF_ERROR(Remove("services", *target, ending, cancel));
  RETURN_IF_ERROR(session.EndStep(registry::Step::kRemoveService));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveSecret));
  RETURN_IF_ERROR(Remove("secrets", *target, ending, cancel));
  return session.EndStep(registry::Step::kRemoveSecret);
}

}  // namespace tao::platforms
