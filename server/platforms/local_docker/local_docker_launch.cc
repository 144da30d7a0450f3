// LocalDockerPlatform's launch: what runs already is found, what is left of an earlier try is
// removed.

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <unistd.h>

#include <utility>

#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/docker/docker_render.h"
#include "server/platforms/local_docker/local_docker_platform.h"

namespace tao::platforms {
namespace {

// Engine and other tools change things while we start: a name, a network, a port may be gone or
// taken a moment later. Ports have a limit of their own (NextPort).
constexpr int kMaxSurprises = 5;
constexpr int kLateRounds = 10;
constexpr int kRemovalRounds = 150;

absl::Status CancelledStart(const std::string& job_id) {
  return absl::CancelledError(absl::StrFormat("the start of service %s was cancelled", job_id));
}

}  // namespace

absl::StatusOr<LocalDockerPlatform::Launching> LocalDockerPlatform::Prepare(
    const launch::LaunchPlan& plan, LaunchSession& session) const {
  Launching launch = {.plan = plan, .session = session, .state = {}, .access = {}};
  // A launch that goes on after a crash stays where it began.
  launch.state.engine = ToLocalDockerState(session.SavedDriverState()).engine;
  if (launch.state.engine.host.empty()) {
    ASSIGN_OR_RETURN(launch.state.engine, PresentEngine(kDockerAskTimeout));
  }
  const DockerEngine& engine = launch.state.engine;
  const auto option = plan.platform_options.find("publish-address");
  const std::string address = option == plan.platform_options.end() ? "" : option->second;
  ASSIGN_OR_RETURN(launch.access,
                   AccessTo(engine, address, config_.reach == DockerReach::kNetwork));
  launch.state.network = config_.network;
  if (!launch.access.dial_host.empty()) launch.state.published = launch.access.publish_address;
  // The GPUs of this host were leased when the start was accepted, for an engine of this host.
  if (IsLocalEngine(engine.host) && plan.gpus.mode != launch::GpuMode::kNone &&
      session.gpu_ids().empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "service %s was accepted for an engine on another host, and docker means %s now: somebody "
        "has switched its context. Start it again",
        plan.job_id, Describe(engine)));
  }
  return launch;
}

absl::StatusOr<std::optional<int>> LocalDockerPlatform::AdoptOrClear(
    const Launching& launch) const {
  const DockerEngine& engine = launch.state.engine;
  const std::string& job_id = launch.plan.job_id;
  const base::CancelToken& cancel = launch.session.cancel();
  const PlatformJob job = {.job_id = job_id, .host_port = 0, .driver_state = {}};
  std::optional<int> leased;  // on another host no other port has a lease
  if (!launch.access.local()) {
    ASSIGN_OR_RETURN(leased, launch.session.InstancePort(engine.host, /*next=*/false));
  }
  for (int round = 0; round < kRemovalRounds && !cancel.cancelled(); ++round) {
    ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(engine, job_id));
    if (!found.has_value()) return std::optional<int>();
    if (!IsOurs(*found, job)) {
      return absl::AlreadyExistsError(
          absl::StrFormat("on %s there is a container named %s that this daemon did not start. See "
                          "what it is with docker ps -a, and remove or rename it",
                          Describe(engine), job_id));
    }
    if (found->status == "running" && found->host_port != 0 &&
        found->host_port == leased.value_or(found->host_port)) {
      return std::optional<int>(found->host_port);
    }
    if (found->status != "removing") RETURN_IF_ERROR(Remove(engine, job_id));
    if (found->status == "removing") WaitDockerRound(&cancel);
  }
  if (cancel.cancelled()) return CancelledStart(job_id);
  return absl::UnavailableError(
      absl::StrFormat("container %s of an earlier try is still on %s, and docker cannot remove it. "
                      "Remove it with docker rm -f %s, and start the service again",
                      job_id, Describe(engine), job_id));
}

absl::Status LocalDockerPlatform::PullIfAbsent(const Launching& launch) const {
  const DockerEngine& engine = launch.state.engine;
  const launch::LaunchPlan& plan = launch.plan;
  LaunchSession& session = launch.session;
  const std::string what =
      absl::StrFormat("service %s: image %s (from %s)", plan.job_id, plan.image, plan.image_source);
  io::SubprocessOptions look =
      Docker(engine, {"image", "inspect", "--format", "{{.Id}}", plan.image}, kDockerAskTimeout);
  look.cancel = &session.cancel();
  ASSIGN_OR_RETURN(const io::SubprocessResult present, Run(look));
  if (present.exit_code == 0) return absl::OkStatus();
  if (FailureOf(present.err) != DockerFailure::kNoImage) {
    return EngineError(engine, what + " could not be looked up", present.exit_code, present.err);
  }

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kPullImage));
  PullProgress progress(plan.image);
  session.ReportProgress(progress.progress());
  io::SubprocessOptions pull = Docker(engine, {"pull", plan.image}, config_.pull_timeout);
  pull.cancel = &session.cancel();
  pull.on_line = [&progress, &session](bool, std::string_view line) {
    if (progress.OnLine(line)) session.ReportProgress(progress.progress());
    return true;
  };
  ASSIGN_OR_RETURN(const io::SubprocessResult pulled, Run(pull));
  if (pulled.exit_code != 0) {
    return EngineError(engine, what + " could not be pulled", pulled.exit_code, pulled.err);
  }
  return session.EndStep(registry::Step::kPullImage);
}

absl::StatusOr<int> LocalDockerPlatform::RunContainer(const Launching& launch) {
  const DockerEngine& engine = launch.state.engine;
  const launch::LaunchPlan& plan = launch.plan;
  LaunchSession& session = launch.session;
  const bool local = launch.access.local();
  DockerRunContext context = {.daemon_id = config_.daemon_id,
                              .network = config_.network,
                              .publish_address = launch.access.publish_address,
                              .host_port = session.host_port(),
                              .gpu_ids = session.gpu_ids(),
                              .tegra = access(config_.gpu_sources.tegra_release.c_str(), F_OK) == 0,
                              .secret_names = {}};
  if (!local) {
    ASSIGN_OR_RETURN(context.host_port, session.InstancePort(engine.host, /*next=*/false));
    ASSIGN_OR_RETURN(context.gpu_ids, ChooseGpus(launch));
    context.tegra = plan.gpus.mode == launch::GpuMode::kTegra;
    if (!context.gpu_ids.empty()) {
      context.labels.emplace_back(kGpusLabel, absl::StrJoin(context.gpu_ids, ","));
    }
  }
  std::map<std::string, base::Secret> secrets;
  for (const std::string& name : plan.secret_names) {
    const std::optional<std::string> value = config_.environment(name);
    if (!value.has_value()) continue;
    secrets.emplace(name, base::Secret(*value));
    context.secret_names.push_back(name);
  }
  for (int surprises = 0; surprises < kMaxSurprises;) {
    RETURN_IF_ERROR(session.BeginStep(registry::Step::kRunContainer));
    io::SubprocessOptions run = Docker(engine, RenderRun(plan, context), config_.run_timeout);
    run.secret_env = secrets;
    run.cancel = &session.cancel();
    const absl::StatusOr<io::SubprocessResult> result = Run(run);
    if (!result.ok()) return result.status();
    if (result->exit_code == 0) {
      RETURN_IF_ERROR(session.EndStep(registry::Step::kRunContainer));
      return context.host_port;
    }
    // The engine keeps the container of a start that failed, and it holds the name.
    const DockerFailure failure = FailureOf(result->err);
    ASSIGN_OR_RETURN(const std::optional<int> other, AdoptOrClear(launch));
    if (other.has_value()) return *other;  // what a dead daemon's docker had begun
    switch (failure) {
      case DockerFailure::kPortTaken: {
        ASSIGN_OR_RETURN(context.host_port, local
                                                ? session.NextPort()
                                                : session.InstancePort(engine.host, /*next=*/true));
        continue;
      }
      case DockerFailure::kNetworkAmbiguous:
      case DockerFailure::kNoNetwork:  // gone with the last service of another daemon
        RETURN_IF_ERROR(EnsureNetwork(launch));
        break;
      case DockerFailure::kNameTaken:
      case DockerFailure::kRemovalInProgress:
        break;
      default:
        return EngineError(engine,
                           absl::StrFormat("service %s could not be started from image %s",
                                           plan.job_id, plan.image),
                           result->exit_code, result->err);
    }
    ++surprises;
  }
  return absl::UnavailableError(absl::StrFormat(
      "service %s could not be started: its network %s or its name was taken away %d times while "
      "docker started it. See who else removes them, and start it again",
      plan.job_id, config_.network, kMaxSurprises));
}

absl::StatusOr<PlatformJob> LocalDockerPlatform::Finish(Launching& launch,
                                                        std::optional<int> published) {
  launch.runs = published.has_value();
  if (!published.has_value()) {
    RETURN_IF_ERROR(EnsureNetwork(launch));
    ASSIGN_OR_RETURN(published, RunContainer(launch));
  }
  PlatformJob job = {.job_id = launch.plan.job_id, .host_port = *published, .driver_state = {}};
  if (!launch.access.local()) {
    launch.runs = true;
    job.host_port = launch.session.host_port();
    job.instance_port = *published;
    RETURN_IF_ERROR(OpenEndpoint(launch, job));
  }
  job.driver_state = launch.state.ToMap(job.job_id);
  return job;
}

absl::StatusOr<PlatformJob> LocalDockerPlatform::Launch(const launch::LaunchPlan& plan,
                                                        LaunchSession& session) {
  ASSIGN_OR_RETURN(Launching launch, Prepare(plan, session));
  const DockerEngine& engine = launch.state.engine;
  Remember(engine);
  // Durable before there is anything on the engine: whoever goes on asks the same one.
  RETURN_IF_ERROR(session.SaveDriverState(launch.state.ToMap(plan.job_id)));
  ASSIGN_OR_RETURN(const std::optional<int> running, AdoptOrClear(launch));
  if (!running.has_value()) RETURN_IF_ERROR(PullIfAbsent(launch));
  absl::StatusOr<PlatformJob> job = Finish(launch, running);
  if (job.ok() && (launch.runs || !session.cancel().cancelled())) return job;
  absl::Status failed = job.ok() ? CancelledStart(plan.job_id) : job.status();
  if (config_.tunnels != nullptr) config_.tunnels->Close(plan.job_id);
  // It runs: the Stop that follows removes it, or the next daemon opens the way to it.
  if (absl::IsCancelled(failed) && launch.runs) return failed;
  remote_gpus_.Release(plan.job_id);
  // Only a docker that was ended in the middle leaves the engine at work behind it.
  const bool interrupted = absl::IsCancelled(failed) || absl::IsDeadlineExceeded(failed);
  const absl::Status removed = RemoveLate(engine, plan.job_id, interrupted ? kLateRounds : 1);
  if (!removed.ok()) {
    failed = absl::Status(failed.code(), absl::StrFormat("%s. What is left of it could not be "
                                                         "removed: %s",
                                                         base::ToStd(failed.message()),
                                                         base::ToStd(removed.message())));
  }
  static_cast<void>(RemoveNetworkIfLast(engine));  // if it stays, the next Stop removes it
  return failed;
}

absl::Status LocalDockerPlatform::RemoveLate(const DockerEngine& engine, const std::string& name,
                                             int rounds) const {
  const PlatformJob job = {.job_id = name, .host_port = 0, .driver_state = {}};
  for (int round = 0; round < rounds; ++round) {
    ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(engine, name));
    if (found.has_value() && !IsOurs(*found, job)) return absl::OkStatus();
    if (found.has_value()) return Remove(engine, name);
    if (round + 1 < rounds) WaitDockerRound(nullptr);
  }
  return absl::OkStatus();
}

}  // namespace tao::platforms
