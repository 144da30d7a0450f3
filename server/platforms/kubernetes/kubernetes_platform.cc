#include "server/platforms/kubernetes/kubernetes_platform.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/platforms/kubernetes/kubernetes_launch.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

constexpr absl::Duration kAskTimeout = absl::Seconds(60);

std::optional<std::string> RealEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

KubernetesConfig Complete(KubernetesConfig config) {
  if (!config.environment) config.environment = &RealEnvironment;
  return config;
}

// An answer that did not come is never an answer.
absl::Status CouldNotAsk(const absl::Status& status) {
  return absl::UnavailableError(std::string(base::ToStd(status.message())));
}

std::string StateOf(const PlatformJob& job, const char* name) {
  const auto found = job.driver_state.find(name);
  return found == job.driver_state.end() ? "" : found->second;
}

bool Readable(const std::string& path) { return access(path.c_str(), R_OK) == 0; }

// Whether kubectl will find a configuration: without one it asks localhost:8080, where some
// service of this host may listen. False: it is inside a cluster, and has a service account.
absl::StatusOr<bool> HasKubeconfig(const catalog::EnvironmentLookup& environment) {
  const std::string named = environment("KUBECONFIG").value_or("");
  for (const absl::string_view path : absl::StrSplit(named, ':', absl::SkipEmpty())) {
    if (Readable(std::string(path))) return true;
  }
  const std::string home = environment("HOME").value_or("");
  if (named.empty() && !home.empty() && Readable(home + "/.kube/config")) return true;
  const bool inside = !environment("KUBERNETES_SERVICE_HOST").value_or("").empty() &&
                      Readable("/var/run/secrets/kubernetes.io/serviceaccount/token");
  if (inside) return false;
  if (!named.empty()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("KUBECONFIG is %s, and no such file can be read by the server's user. "
                        "Correct it in the server's environment",
                        base::Quoted(named)));
  }
  return absl::FailedPreconditionError(
      "there is no kubeconfig: neither KUBECONFIG is set in the server's environment, nor is there "
      "a file ~/.kube/config of its user. Get one from who runs the cluster");
}

}  // namespace

KubernetesPlatform::KubernetesPlatform(KubernetesConfig config, Tunnels& tunnels)
    : config_(Complete(std::move(config))),
      kubectl_(config_.kubectl_program, config_.secret_names),
      tunnels_(tunnels) {}

const PlatformTraits& KubernetesPlatform::traits() const {
  static const PlatformTraits kTraits = {.name = "kubernetes",
                                         .execution_backend = "local-k8s",
                                         .own_network = true,
                                         .host_filesystem = false,
                                         .host_port = HostPort::kForwarded,
                                         .options = KubernetesOptionList()};
  return kTraits;
}

absl::Status KubernetesPlatform::CheckOptions(
    const std::map<std::string, std::string>& options) const {
  return ParseKubernetesOptions(options, config_.environment).status();
}

absl::Status CheckGpuRequest(const launch::GpuRequest& request) {
  if (request.mode == launch::GpuMode::kTegra) {
    return absl::FailedPreconditionError(
        "on kubernetes there is no GPU mode tegra: use --gpu-mode auto, and --runtime-class nvidia "
        "where the cluster needs it");
  }
  if (!request.ids.empty()) {
    return absl::FailedPreconditionError(
        "on kubernetes the cluster chooses the GPUs: ask for a number with --gpu-count, and for "
        "a kind with --node-selector nvidia.com/gpu.product=...");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> KubernetesPlatform::GpuIds(
    const launch::GpuRequest& request) {
  RETURN_IF_ERROR(CheckGpuRequest(request));
  return std::vector<std::string>();
}

absl::StatusOr<KubernetesTarget> KubernetesPlatform::TargetOf(const KubernetesOptions& options,
                                                              absl::Duration timeout) const {
  ASSIGN_OR_RETURN(const bool has_file, HasKubeconfig(config_.environment));
  KubernetesTarget target = {.context = options.context, .name_space = options.name_space};
  if (!target.context.empty() || !has_file) return target;
  KubectlCall call = {.arguments = {"config", "current-context"}, .timeout = timeout};
  ASSIGN_OR_RETURN(std::string context,
                   kubectl_.AskClient("the kubeconfig names no context", std::move(call)));
  target.context = std::string(absl::StripAsciiWhitespace(context));
  return target;
}

absl::StatusOr<KubernetesTarget> KubernetesPlatform::TargetOf(const PlatformJob& job) const {
  const std::string name_space = StateOf(job, kStateNamespace);
  if (!name_space.empty()) {
    return KubernetesTarget{.context = StateOf(job, kStateContext), .name_space = name_space};
  }
  ASSIGN_OR_RETURN(const KubernetesOptions options,
                   ParseKubernetesOptions({}, config_.environment));
  return TargetOf(options, kAskTimeout);
}

TunnelSpec KubernetesPlatform::TunnelOf(const KubernetesTarget& target, const std::string& job_id,
                                        int local_port) const {
  return {
      .argv = kubectl_.Argv(Joined(RenderTarget(target), RenderPortForward(job_id, local_port))),
      .unset_env = kubectl_.unset_env(),
      .local_port = local_port,
      .explain = [job_id](std::string_view err) {
        return KubectlError("the port of service " + job_id + " is not forwarded", 1, err);
      }};
}

absl::StatusOr<JobAndPods> KubernetesPlatform::Look(const KubernetesTarget& target,
                                                    const std::string& selector,
                                                    const std::string& job_id,
                                                    const base::CancelToken* cancel,
                                                    const char* kinds) const {
  ASSIGN_OR_RETURN(
      const std::string output,
      kubectl_.Ask("the cluster could not be asked about service " + job_id, target,
                   {.arguments = {"get", kinds, "-l", selector, "-o", "json"}, .cancel = cancel}));
  ASSIGN_OR_RETURN(auto found, ParseJobs(output, ""));
  return std::move(found[job_id]);
}

absl::StatusOr<PlatformJob> KubernetesPlatform::Launch(const launch::LaunchPlan& plan,
                                                       LaunchSession& session) {
  ASSIGN_OR_RETURN(const KubernetesOptions options,
                   ParseKubernetesOptions(plan.platform_options, config_.environment));
  // What an earlier daemon began stays where it is, whatever the default is by now.
  PlatformJob saved = {.job_id = plan.job_id, .driver_state = session.SavedDriverState()};
  KubernetesTarget target;
  if (!StateOf(saved, kStateNamespace).empty()) {
    ASSIGN_OR_RETURN(target, TargetOf(saved));
  } else {
    ASSIGN_OR_RETURN(target, TargetOf(options, kAskTimeout));
  }
  KubernetesLaunch launch(*this, plan, options, target, session);
  RETURN_IF_ERROR(launch.Find());  // nothing was changed, and what may run there goes on
  absl::StatusOr<PlatformJob> job = launch.Run();
  if (job.ok() && !session.cancel().cancelled()) return job;
  absl::Status failed =
      job.ok() ? absl::CancelledError("the start of service " + plan.job_id + " was cancelled")
               : job.status();
  tunnels_.Close(plan.job_id);
  // By a Stop, which removes all of it next, or by the daemon's end: then it keeps its place in the
  // cluster's queue, and its pull, for the next daemon.
  if (session.cancel().cancelled()) return failed;
  // Only a kubectl that was ended in the middle leaves the API at work behind it.
  const bool late = absl::IsDeadlineExceeded(failed);
  const absl::Status removed = RemoveAll(target, plan.job_id, late, session.cancel());
  if (absl::IsCancelled(removed)) return removed;
  if (!removed.ok()) {
    failed = absl::Status(
        failed.code(),
        absl::StrFormat("%s. What is left of it could not be removed: %s",
                        base::ToStd(failed.message()), base::ToStd(removed.message())));
  }
  return failed;
}

void KubernetesPlatform::Adopt(const PlatformJob& job) {
  if (StateOf(job, kStateReached) != kReachedByForward || job.host_port == 0) return;
  const absl::StatusOr<KubernetesTarget> target = TargetOf(job);
  if (target.ok()) tunnels_.Adopt(job.job_id, TunnelOf(*target, job.job_id, job.host_port));
}

absl::StatusOr<PlatformState> KubernetesPlatform::Observe(const PlatformJob& job) {
  const absl::StatusOr<KubernetesTarget> target = TargetOf(job);
  if (!target.ok()) return CouldNotAsk(target.status());
  const bool by_address = StateOf(job, kStateReached) == kReachedByAddress;
  const absl::StatusOr<JobAndPods> objects =
      Look(*target, Selector(job.job_id, config_.daemon_id), job.job_id, /*cancel=*/nullptr,
           by_address ? "jobs,pods,services" : "jobs,pods");
  if (!objects.ok()) return CouldNotAsk(objects.status());
  ASSIGN_OR_RETURN(PlatformState state, ToPlatformState(*objects));
  if (state.state == State::kRunning) state.moved = MovedOf(job, *target, *objects);
  if (state.state == State::kRunning && StateOf(job, kStateReached) == kReachedByForward) {
    const absl::Status tunnel = tunnels_.StateOf(job.job_id);
    if (!tunnel.ok()) state.detail = std::string(base::ToStd(tunnel.message()));
  }
  return state;
}

Platform::Endpoint KubernetesPlatform::EndpointOf(const PlatformJob& job) const {
  Endpoint endpoint;
  endpoint.platform_job_id = ObjectName(job.job_id);
  std::string host = StateOf(job, kStateHost);
  int port = 0;
  if (StateOf(job, kStateReached) == kReachedByForward) {
    endpoint.backend.host = "127.0.0.1";
    host = "localhost";
    port = job.host_port;
  } else if (absl::SimpleAtoi(StateOf(job, kStatePort), &port)) {
    endpoint.backend.host = host;
  }
  if (host.empty() || port == 0) return endpoint;
  const bool ipv6 = host.find(':') != std::string::npos;
  endpoint.backend.port = port;
  endpoint.backend.authority =
      ipv6 ? absl::StrFormat("[%s]:%d", host, port) : absl::StrFormat("%s:%d", host, port);
  endpoint.host_url = "http://" + endpoint.backend.authority;
  return endpoint;
}

std::string KubernetesPlatform::LastEventsOf(const KubernetesTarget& target,
                                             const std::string& object) const {
  constexpr size_t kShown = 3;
  const absl::StatusOr<std::string> output =
      kubectl_.Ask("the events could not be read", target, {.arguments = RenderEvents(object)});
  if (!output.ok()) return "";  // often for want of the right to
  const absl::StatusOr<std::vector<EventView>> events = ParseEvents(*output);
  if (!events.ok()) return "";
  std::vector<std::string> texts;
  const size_t skipped = events->size() > kShown ? events->size() - kShown : 0;
  for (size_t i = skipped; i < events->size(); ++i) {
    texts.push_back((*events)[i].reason + ": " + (*events)[i].message);
  }
  return OnOneLine(absl::StrJoin(texts, "; "));
}

absl::Status KubernetesPlatform::StreamLogs(const PlatformJob& job, const LogOptions& options,
                                            LogSink& sink, const base::CancelToken& cancel) {
  const bool foreign = job.driver_state.contains(kForeign);
  if (foreign) RETURN_IF_ERROR(CheckForeign(job));
  const Ending service = EndingOf(job);
  ASSIGN_OR_RETURN(const KubernetesTarget target, TargetOf(job));
  const std::vector<std::string> flags =
      options.follow ? RenderTarget(target) : RenderBounded(target);
  bool reader_left = false;
  io::SubprocessOptions logs =
      kubectl_.Options(Joined(flags, RenderLogs(service.name, foreign ? "" : kContainerName,
                                                options.tail_lines, options.follow)),
                       options.follow ? absl::InfiniteDuration() : options.timeout);
  logs.max_output_bytes = 16 << 10;  // the sink has it; this is for the words of a failure
  logs.cancel = &cancel;
  // Both streams of the container come on stdout; stderr is kubectl's own.
  logs.on_line = [&sink, &reader_left](bool is_stderr, std::string_view line) {
    if (is_stderr) return true;
    reader_left = !sink.OnLine(line);
    return !reader_left;
  };
  const absl::StatusOr<io::SubprocessResult> result = kubectl_.Run(logs);
  if (reader_left) return absl::OkStatus();
  RETURN_IF_ERROR(result.status());
  if (result->exit_code == 0) return absl::OkStatus();
  const std::string what = absl::StrFormat("service %s has no logs", job.job_id);
  absl::Status failed = KubectlError(what, result->exit_code, result->err);
  if (FailureKindOf(result->err) != KubernetesFailure::kNotStarted) return failed;
  const absl::StatusOr<JobAndPods> objects = LookAt(target, service, &cancel);
  if (!objects.ok()) return failed;
  const PodView* const pod = MainPod(*objects);
  const std::string events = LastEventsOf(target, pod == nullptr ? service.name : pod->name);
  return absl::NotFoundError(
      absl::StrFormat("%s yet: %s", what, events.empty() ? OnOneLine(result->err) : events));
}

absl::StatusOr<std::vector<FoundJob>> KubernetesPlatform::FindOurs() {
  const absl::StatusOr<KubernetesTarget> target = TargetOf(PlatformJob{});
  if (!target.ok()) return CouldNotAsk(target.status());
  const absl::StatusOr<std::string> output = kubectl_.Ask(
      "the cluster could not list its jobs", *target,
      {.arguments = {"get", "jobs,pods", "-l", Selector("", config_.daemon_id), "-o", "json"}});
  if (!output.ok()) return CouldNotAsk(output.status());
  ASSIGN_OR_RETURN(const auto jobs, ParseJobs(*output, config_.daemon_id));
  std::vector<FoundJob> found;
  for (const auto& [job_id, objects] : jobs) {
    if (!base::IsUuid(job_id)) continue;
    const absl::StatusOr<PlatformState> state = ToPlatformState(objects);
    // Pods without their Job are ending; what cannot be told is there all the same.
    if (state.ok() && state->state == State::kGone) continue;
    found.push_back({.job_id = job_id, .state = state.ok() ? *state : PlatformState{}});
  }
  return found;
}

}  // namespace tao::platforms
