// LocalDockerPlatform's launch: what runs already is found, what is left of an earlier try is
// removed.

#include <absl/strings/str_format.h>
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

absl::StatusOr<std::optional<PlatformJob>> LocalDockerPlatform::AdoptOrClear(
    const std::string& job_id, const base::CancelToken& cancel) const {
  for (int round = 0; round < kRemovalRounds && !cancel.cancelled(); ++round) {
    ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(job_id));
    if (!found.has_value()) return std::optional<PlatformJob>();
    PlatformJob job = {.job_id = job_id,
                       .host_port = found->host_port,
                       .driver_state = {{"container", job_id}, {"network", config_.network}}};
    if (!IsOurs(*found, job)) {
      return absl::AlreadyExistsError(
          absl::StrFormat("there is a container named %s that this daemon did not start. See what "
                          "it is with docker "
                          "ps -a, and remove or rename it",
                          job_id));
    }
    if (found->status == "running" && found->host_port != 0) {
      return std::optional<PlatformJob>(std::move(job));
    }
    if (found->status != "removing") RETURN_IF_ERROR(Remove(job_id));
    if (found->status == "removing") WaitDockerRound(&cancel);
  }
  if (cancel.cancelled()) return CancelledStart(job_id);
  return absl::UnavailableError(
      absl::StrFormat("container %s of an earlier try is still there, and docker cannot remove it. "
                      "Remove it with docker rm -f %s, and start the service again",
                      job_id, job_id));
}

absl::Status LocalDockerPlatform::PullIfAbsent(const launch::LaunchPlan& plan,
                                               LaunchSession& session) const {
  const std::string what =
      absl::StrFormat("service %s: image %s (from %s)", plan.job_id, plan.image, plan.image_source);
  io::SubprocessOptions look =
      Docker({"image", "inspect", "--format", "{{.Id}}", plan.image}, kDockerAskTimeout);
  look.cancel = &session.cancel();
  ASSIGN_OR_RETURN(const io::SubprocessResult present, Run(look));
  if (present.exit_code == 0) return absl::OkStatus();
  if (FailureOf(present.err) != DockerFailure::kNoImage) {
    return DockerError(what + " could not be looked up", present.exit_code, present.err);
  }

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kPullImage));
  PullProgress progress(plan.image);
  session.ReportProgress(progress.progress());
  io::SubprocessOptions pull = Docker({"pull", plan.image}, config_.pull_timeout);
  pull.cancel = &session.cancel();
  pull.on_line = [&progress, &session](bool, std::string_view line) {
    if (progress.OnLine(line)) session.ReportProgress(progress.progress());
    return true;
  };
  ASSIGN_OR_RETURN(const io::SubprocessResult pulled, Run(pull));
  if (pulled.exit_code != 0) {
    return DockerError(what + " could not be pulled", pulled.exit_code, pulled.err);
  }
  return session.EndStep(registry::Step::kPullImage);
}

absl::StatusOr<PlatformJob> LocalDockerPlatform::RunContainer(const launch::LaunchPlan& plan,
                                                              LaunchSession& session) const {
  DockerRunContext context = {.daemon_id = config_.daemon_id,
                              .network = config_.network,
                              .host_port = session.host_port(),
                              .gpu_ids = session.gpu_ids(),
                              .tegra = access(config_.gpu_sources.tegra_release.c_str(), F_OK) == 0,
                              .secret_names = {}};
  std::map<std::string, base::Secret> secrets;
  for (const std::string& name : plan.secret_names) {
    const std::optional<std::string> value = config_.environment(name);
    if (!value.has_value()) continue;
    secrets.emplace(name, base::Secret(*value));
    context.secret_names.push_back(name);
  }
  for (int surprises = 0; surprises < kMaxSurprises;) {
    RETURN_IF_ERROR(session.BeginStep(registry::Step::kRunContainer));
    io::SubprocessOptions run = Docker(RenderRun(plan, context), config_.run_timeout);
    run.secret_env = secrets;
    run.cancel = &session.cancel();
    const absl::StatusOr<io::SubprocessResult> result = Run(run);
    if (!result.ok()) return result.status();
    if (result->exit_code == 0) {
      RETURN_IF_ERROR(session.EndStep(registry::Step::kRunContainer));
      return PlatformJob{
          .job_id = plan.job_id,
          .host_port = context.host_port,
          .driver_state = {{"container", plan.job_id}, {"network", config_.network}}};
    }
    // The engine keeps the container of a start that failed, and it holds the name.
    const DockerFailure failure = FailureOf(result->err);
    ASSIGN_OR_RETURN(std::optional<PlatformJob> other, AdoptOrClear(plan.job_id, session.cancel()));
    if (other.has_value()) return *std::move(other);  // what a dead daemon's docker had begun
    switch (failure) {
      case DockerFailure::kPortTaken: {
        ASSIGN_OR_RETURN(context.host_port, session.NextPort());
        continue;
      }
      case DockerFailure::kNetworkAmbiguous:
      case DockerFailure::kNoNetwork:  // gone with the last service of another daemon
        RETURN_IF_ERROR(EnsureNetwork(session));
        break;
      case DockerFailure::kNameTaken:
      case DockerFailure::kRemovalInProgress:
        break;
      default:
        return DockerError(absl::StrFormat("service %s could not be started from image %s",
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

absl::StatusOr<PlatformJob> LocalDockerPlatform::Launch(const launch::LaunchPlan& plan,
                                                        LaunchSession& session) {
  RETURN_IF_ERROR(
      session.SaveDriverState({{"container", plan.job_id}, {"network", config_.network}}));
  ASSIGN_OR_RETURN(std::optional<PlatformJob> running, AdoptOrClear(plan.job_id, session.cancel()));
  if (running.has_value()) return *std::move(running);
  RETURN_IF_ERROR(PullIfAbsent(plan, session));
  absl::Status failed = EnsureNetwork(session);
  if (failed.ok()) {
    absl::StatusOr<PlatformJob> job = RunContainer(plan, session);
    if (job.ok() && !session.cancel().cancelled()) return job;
    failed = job.ok() ? CancelledStart(plan.job_id) : job.status();
    // Only a docker that was ended in the middle leaves the engine at work behind it.
    const bool interrupted = absl::IsCancelled(failed) || absl::IsDeadlineExceeded(failed);
    const absl::Status removed = RemoveLate(plan.job_id, interrupted ? kLateRounds : 1);
    if (!removed.ok()) {
      failed = absl::Status(
          failed.code(),
          absl::StrFormat("%s. What is left of it could not be removed: %s",
                          base::ToStd(failed.message()), base::ToStd(removed.message())));
    }
  }
  static_cast<void>(RemoveNetworkIfLast());  // if it stays, the next Stop removes it
  return failed;
}

absl::Status LocalDockerPlatform::RemoveLate(const std::string& name, int rounds) const {
  const PlatformJob job = {.job_id = name, .host_port = 0, .driver_state = {}};
  for (int round = 0; round < rounds; ++round) {
    ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(name));
    if (found.has_value() && !IsOurs(*found, job)) return absl::OkStatus();
    if (found.has_value()) return Remove(name);
    if (round + 1 < rounds) WaitDockerRound(nullptr);
  }
  return absl::OkStatus();
}

}  // namespace tao::platforms
