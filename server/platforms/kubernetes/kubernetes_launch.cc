#include "server/platforms/kubernetes/kubernetes_launch.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <utility>

#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

constexpr int kLateRounds = 10;
constexpr absl::Duration kLateRound = absl::Milliseconds(300);

bool Has(const std::map<std::string, std::string>& labels, std::string_view name,
         const std::string& value) {
  const auto found = labels.find(std::string(name));
  return found != labels.end() && found->second == value;
}

}  // namespace

KubernetesLaunch::KubernetesLaunch(const KubernetesPlatform& platform,
                                   const launch::LaunchPlan& plan, const KubernetesOptions& options,
                                   KubernetesTarget target, LaunchSession& session)
    : platform_(platform),
      plan_(plan),
      options_(options),
      target_(std::move(target)),
      session_(session),
      poll_(platform.config_.poll),
      state_({{kStateContext, target_.context}, {kStateNamespace, target_.name_space}}) {}

KubectlCall KubernetesLaunch::Call(std::vector<std::string> arguments) const {
  return {.arguments = std::move(arguments), .stdin_text = "", .cancel = &session_.cancel()};
}

KubectlCall KubernetesLaunch::Creation(const char* output, std::string object) const {
  // Never cut short by a cancel: what became of it would have to be found out all the same.
  return {.arguments = {"create", "-f", "-", "-o", output}, .stdin_text = std::move(object)};
}

absl::StatusOr<JobAndPods> KubernetesLaunch::Look() const {
  return platform_.Look(target_, Selector(plan_.job_id, platform_.config_.daemon_id), plan_.job_id,
                        &session_.cancel(), "jobs,pods");
}

Owner KubernetesLaunch::OwnerOfAll() const {
  return {.job_id = plan_.job_id, .daemon_id = platform_.config_.daemon_id, .job_uid = job_uid_};
}

std::string KubernetesLaunch::ImagePullSecret() const {
  if (options_.image_pull_secret == "none") return "";
  if (!options_.image_pull_secret.empty()) return options_.image_pull_secret;
  const bool ours = plan_.image.starts_with("nvcr.io/") &&
                    !platform_.config_.environment("NGC_KEY").value_or("").empty();
  return ours ? PullSecretName(plan_.job_id) : "";
}

absl::Status KubernetesLaunch::SaveState(std::map<std::string, std::string> reached) {
  reached.insert({{kStateContext, target_.context}, {kStateNamespace, target_.name_space}});
  state_ = std::move(reached);
  return session_.SaveDriverState(state_);
}

PlatformJob KubernetesLaunch::Job() const {
  return {.job_id = plan_.job_id, .host_port = session_.host_port(), .driver_state = state_};
}

absl::Status KubernetesLaunch::Wait() {
  if (!base::CancelledWithin(session_.cancel(), poll_.Next())) return absl::OkStatus();
  return absl::CancelledError("the start of service " + plan_.job_id + " was cancelled");
}

absl::Status KubernetesLaunch::Find() {
  if (const auto saved = session_.SavedDriverState(); saved.contains(kStateCreating)) {
    state_[kStateCreating] = "1";
  }
  RETURN_IF_ERROR(session_.SaveDriverState(state_));
  while (true) {
    const absl::StatusOr<JobAndPods> found = Look();
    if (absl::IsCancelled(found.status())) return found.status();
    if (!found.ok()) {  // an earlier try may run there, whatever keeps us from seeing it
      return absl::UnavailableError(std::string(base::ToStd(found.status().message())));
    }
    if (!found->job.has_value()) return absl::OkStatus();
    if (!found->job->deleting) {
      job_uid_ = found->job->uid;
      return absl::OkStatus();
    }
    session_.ReportPending("Terminating", "a Job of an earlier try is being removed");
    RETURN_IF_ERROR(Wait());
  }
}

absl::StatusOr<PlatformJob> KubernetesLaunch::Run() {
  if (job_uid_.empty()) RETURN_IF_ERROR(CreateJob());
  RETURN_IF_ERROR(CreateSecrets());
  RETURN_IF_ERROR(CreateService());
  ASSIGN_OR_RETURN(const bool runs, WaitUntilItRuns());
  if (!runs) {
    // It has a log and an exit status, which are told as those of any service: by Observe.
    RETURN_IF_ERROR(SaveState({{kStateReached, kReachedByForward}}));
    return Job();
  }
  return ReachIt();
}

absl::StatusOr<bool> KubernetesLaunch::FindLate() {
  for (int round = 0; round < kLateRounds; ++round) {
    ASSIGN_OR_RETURN(const JobAndPods found, Look());
    if (found.job.has_value() && !found.job->deleting) {
      job_uid_ = found.job->uid;
      return true;
    }
    if (base::CancelledWithin(session_.cancel(), kLateRound)) break;
  }
  return false;
}

absl::Status KubernetesLaunch::CreateJob() {
  RETURN_IF_ERROR(session_.BeginStep(registry::Step::kSubmitJob));
  state_[kStateCreating] = "1";  // until it is reached, when there is certainly a Job
  RETURN_IF_ERROR(session_.SaveDriverState(state_));
  JobContext context = {.daemon_id = platform_.config_.daemon_id,
                        .image_pull_secret = ImagePullSecret(),
                        .secret_names = {}};
  for (const auto& [name, value] : Secrets()) context.secret_names.push_back(name);
  const std::string object = RenderJob(plan_, options_, context);
  const absl::StatusOr<std::string> created = platform_.kubectl_.Ask(
      absl::StrFormat("service %s: its Job could not be created", plan_.job_id), target_,
      Creation("json", object));
  if (created.ok()) {
    ASSIGN_OR_RETURN(const ObjectView job, ParseObject(*created));
    job_uid_ = job.uid;
  } else {
    // Its answer may be lost: then the Job is there, and it is ours.
    const bool unclear = CouldNotTell(created.status()) || absl::IsAlreadyExists(created.status());
    if (!unclear) return created.status();
    ASSIGN_OR_RETURN(const bool found, FindLate());
    if (!found) return created.status();
  }
  return session_.EndStep(registry::Step::kSubmitJob);
}

absl::Status KubernetesLaunch::CreateOwned(const char* kind, const std::string& name,
                                           const std::string& object) {
  const std::string what =
      absl::StrFormat("service %s: %s %s could not be created", plan_.job_id, kind, name);
  const KubectlCall create = Creation("name", object);
  const absl::StatusOr<std::string> created = platform_.kubectl_.Ask(what, target_, create);
  if (created.ok() ||
      !(absl::IsAlreadyExists(created.status()) || CouldNotTell(created.status()))) {
    return created.status();
  }
  // Without what is in it: a Secret's values are for nobody to see.
  const absl::StatusOr<std::string> found = platform_.kubectl_.Ask(
      what, target_, Call({"get", kind, name, "-o", "jsonpath={.metadata}"}));
  if (absl::IsNotFound(found.status())) return created.status();
  RETURN_IF_ERROR(found.status());
  ASSIGN_OR_RETURN(const ObjectView present, ParseMetadata(*found));
  if (!Has(present.labels, kJobLabel, plan_.job_id) ||
      !Has(present.labels, kDaemonLabel, platform_.config_.daemon_id)) {
    return created.status();  // somebody else's
  }
  if (present.owner_uid == job_uid_) return absl::OkStatus();
  RETURN_IF_ERROR(
      platform_.kubectl_
          .Ask(what, target_, Call({"delete", kind, name, "--ignore-not-found", "--wait=false"}))
          .status());
  return platform_.kubectl_.Ask(what, target_, create).status();
}

std::map<std::string, base::Secret> KubernetesLaunch::Secrets() const {
  std::map<std::string, base::Secret> values;
  for (const std::string& name : plan_.secret_names) {
    const std::optional<std::string> value = platform_.config_.environment(name);
    if (value.has_value()) values.emplace(name, base::Secret(*value));
  }
  return values;
}

absl::Status KubernetesLaunch::CreateSecrets() {
  const std::map<std::string, base::Secret> values = Secrets();
  const bool pull = ImagePullSecret() == PullSecretName(plan_.job_id);
  if (values.empty() && !pull) return absl::OkStatus();
  RETURN_IF_ERROR(session_.BeginStep(registry::Step::kCreateSecret));
  // Find has asked with the same flags, and nothing on stdin: kubectl has credentials, and will not
  // take the Secret for the answer to its question for some.
  const Owner owner = OwnerOfAll();
  if (!values.empty()) {
    RETURN_IF_ERROR(
        CreateOwned("secret", EnvSecretName(plan_.job_id), RenderEnvSecret(owner, values)));
  }
  if (pull) {
    const base::Secret key(platform_.config_.environment("NGC_KEY").value_or(""));
    RETURN_IF_ERROR(
        CreateOwned("secret", PullSecretName(plan_.job_id), RenderPullSecret(owner, key)));
  }
  return session_.EndStep(registry::Step::kCreateSecret);
}

absl::Status KubernetesLaunch::CreateService() {
  RETURN_IF_ERROR(session_.BeginStep(registry::Step::kCreateService));
  RETURN_IF_ERROR(
      CreateOwned("service", Name(),
                  RenderService(OwnerOfAll(), options_.service_type, options_.service_port)));
  service_since_ = absl::Now();
  return session_.EndStep(registry::Step::kCreateService);
}

absl::Status KubernetesLaunch::ReportWhy(const JobAndPods& objects) {
  using Kind = PendingView::Kind;
  std::vector<EventView> events;
  if (const std::string object = EventsOf(objects); !object.empty()) {
    // Often there is no right to read them: then the pod's own words must do.
    const absl::StatusOr<std::string> output =
        platform_.kubectl_.Ask("the events could not be read", target_, Call(RenderEvents(object)));
    if (output.ok()) {
      absl::StatusOr<std::vector<EventView>> parsed = ParseEvents(*output);
      if (parsed.ok()) events = *std::move(parsed);
    }
  }
  const PendingView why = ToPendingView(objects, events);
  session_.ReportPending(why.reason, why.message);
  const absl::Time now = absl::Now();
  pending_since_ = std::min(pending_since_, now);
  trouble_since_ =
      why.kind == Kind::kWaiting ? absl::InfiniteFuture() : std::min(trouble_since_, now);
  const std::string text = absl::StrFormat("service %s: %s", plan_.job_id, why.message);
  if (why.kind == Kind::kHopeless) return absl::Status(why.code, text);
  if (now - trouble_since_ >= options_.trouble_grace && why.kind == Kind::kTrouble) {
    return absl::Status(why.code, absl::StrFormat("%s (given up after %s; --trouble-grace)", text,
                                                  absl::FormatDuration(options_.trouble_grace)));
  }
  if (now - pending_since_ >= options_.queue_limit) {
    return absl::Status(why.code, absl::StrFormat("%s (given up after %s; --queue-limit)", text,
                                                  absl::FormatDuration(options_.queue_limit)));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> KubernetesLaunch::WaitUntilItRuns() {
  while (true) {
    const absl::StatusOr<JobAndPods> objects = Look();
    const absl::StatusOr<PlatformState> state =
        objects.ok() ? ToPlatformState(*objects) : objects.status();
    if (state.ok()) {
      const PodView* const pod = MainPod(*objects);
      const bool has_run = pod != nullptr && pod->exit_code.has_value();
      switch (state->state) {
        case State::kRunning:
          return true;
        case State::kExited:
          return false;
        case State::kFailed:
          if (has_run) return false;
          return absl::FailedPreconditionError(
              absl::StrFormat("service %s: %s", plan_.job_id, state->detail));
        case State::kGone:
          return absl::FailedPreconditionError(absl::StrFormat(
              "service %s: somebody deleted Job %s while it was started. Start it again",
              plan_.job_id, Name()));
        case State::kPending:
          RETURN_IF_ERROR(ReportWhy(*objects));
          break;
      }
    } else if (absl::IsCancelled(state.status())) {
      return state.status();
    } else {
      // Nothing is known of the pod meanwhile, and nothing need be wrong with it: it may have
      // waited for hours for its node, and what cannot be asked cannot be removed either.
      session_.ReportPending("ClusterUnreachable", base::ToStd(state.status().message()));
    }
    RETURN_IF_ERROR(Wait());
  }
}

}  // namespace tao::platforms
