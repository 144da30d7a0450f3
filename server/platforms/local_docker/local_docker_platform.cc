#include "server/platforms/local_docker/local_docker_platform.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/platforms/local_docker/local_docker_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(30);     // inspect, ps, network
constexpr absl::Duration kRemoveTimeout = absl::Seconds(60);  // rm waits for the container's end
constexpr absl::Duration kGpuTimeout = absl::Seconds(20);     // a cold driver takes seconds
// Engine and other tools change things while we start: a name, a network, a port may be gone or
// taken a moment later. Ports have a limit of their own (NextPort).
constexpr int kMaxSurprises = 5;
constexpr int kLateRounds = 10;
constexpr absl::Duration kLateRound = absl::Milliseconds(200);
constexpr int kRemovalRounds = 150;

std::optional<std::string> RealEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

LocalDockerConfig Complete(LocalDockerConfig config) {
  if (!config.environment) config.environment = &RealEnvironment;
  if (config.network.empty()) config.network = config.environment("DOCKER_NETWORK").value_or("");
  if (config.network.empty()) config.network = kDefaultDockerNetwork;
  return config;
}

void WaitRound(const base::CancelToken* cancel) {
  pollfd waiting = {.fd = cancel == nullptr ? -1 : cancel->fd(), .events = POLLIN, .revents = 0};
  poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(kLateRound)));
}

absl::Status CancelledStart(const std::string& job_id) {
  return absl::CancelledError(absl::StrFormat("the start of service %s was cancelled", job_id));
}

// An answer that did not come is never an answer.
absl::Status CouldNotAsk(const absl::Status& status) {
  return absl::UnavailableError(std::string(base::ToStd(status.message())));
}

}  // namespace

LocalDockerPlatform::LocalDockerPlatform(LocalDockerConfig config)
    : config_(Complete(std::move(config))) {}

const PlatformTraits& LocalDockerPlatform::traits() const {
  static constexpr PlatformTraits kTraits = {.name = "local-docker",
                                             .execution_backend = "local-docker",
                                             .own_network = true,
                                             .host_filesystem = false,
                                             .host_port = HostPort::kForwarded};
  return kTraits;
}

io::SubprocessOptions LocalDockerPlatform::Docker(std::vector<std::string> arguments,
                                                  absl::Duration timeout) const {
  io::SubprocessOptions options;
  options.argv = std::move(arguments);
  options.argv.insert(options.argv.begin(), config_.docker_program);
  options.unset_env = config_.secret_names;
  options.timeout = timeout;
  return options;
}

absl::StatusOr<io::SubprocessResult> LocalDockerPlatform::Run(
    const io::SubprocessOptions& options) const {
  absl::StatusOr<io::SubprocessResult> result = io::RunSubprocess(options);
  if (!absl::IsNotFound(result.status())) return result;
  return absl::FailedPreconditionError(
      absl::StrFormat("local-docker needs the program %s, and it is not in the server's PATH. "
                      "Install Docker (Debian: apt-get install docker.io), or start the service "
                      "with --platform local-process",
                      base::Quoted(config_.docker_program)));
}

absl::StatusOr<std::vector<std::string>> LocalDockerPlatform::GpuIds(
    const launch::GpuRequest& request) {
  return HostGpuIds(request, config_.gpu_sources, kGpuTimeout);
}

bool LocalDockerPlatform::IsOurs(const ContainerFacts& facts, const PlatformJob& job) const {
  if (job.driver_state.contains("foreign")) return true;
  const auto is = [&facts](std::string_view label, const std::string& value) {
    const auto found = facts.labels.find(std::string(label));
    return found != facts.labels.end() && found->second == value;
  };
  return is(kJobLabel, job.job_id) && is(kDaemonLabel, config_.daemon_id);
}

absl::StatusOr<std::optional<ContainerFacts>> LocalDockerPlatform::Inspect(
    const std::string& name) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result,
                   Run(Docker(RenderInspect({name}), kAskTimeout)));
  if (result.exit_code != 0) {
    if (FailureOf(result.err) == DockerFailure::kNoContainer) {
      return std::optional<ContainerFacts>();
    }
    return DockerError("docker could not be asked about container " + name, result.exit_code,
                       result.err);
  }
  ASSIGN_OR_RETURN(std::vector<ContainerFacts> containers, ParseContainers(result.out));
  // docker also finds a container by a beginning of its id, which is not what we look for.
  if (containers.size() != 1 || containers.front().name != name) {
    return std::optional<ContainerFacts>();
  }
  return std::optional<ContainerFacts>(std::move(containers.front()));
}

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
    if (found->status == "removing") WaitRound(&cancel);
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
      Docker({"image", "inspect", "--format", "{{.Id}}", plan.image}, kAskTimeout);
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

absl::Status LocalDockerPlatform::MergeNetworks() const {
  ASSIGN_OR_RETURN(const io::SubprocessResult listed,
                   Run(Docker(RenderNetworkList(config_.network), kAskTimeout)));
  if (listed.exit_code != 0) {
    return DockerError("docker could not list its networks", listed.exit_code, listed.err);
  }
  // Whoever merges at the same time must leave the same one: one that is in use or somebody else's,
  // else the first. An id is not ambiguous, and the engine removes none that is in use.
  std::vector<std::string> removable;
  bool keeps_one = false;
  for (const std::string& id : ParseNetworkIds(listed.out, config_.network)) {
    ASSIGN_OR_RETURN(const io::SubprocessResult present,
                     Run(Docker(RenderNetworkInspect(id), kAskTimeout)));
    if (present.exit_code != 0) continue;  // merged by another one
    ASSIGN_OR_RETURN(const NetworkFacts facts, ParseNetwork(present.out));
    const bool ours = !facts.daemon_id.empty();  // of a daemon of this kind, that is
    if (ours && facts.endpoints == 0) {
      removable.push_back(id);
    } else {
      keeps_one = true;
    }
  }
  if (!keeps_one && !removable.empty()) removable.erase(removable.begin());
  for (const std::string& id : removable) {
    RETURN_IF_ERROR(Run(Docker({"network", "rm", id}, kRemoveTimeout)).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<io::SubprocessResult> LocalDockerPlatform::InspectNetwork(
    const base::CancelToken* cancel) const {
  io::SubprocessOptions look = Docker(RenderNetworkInspect(config_.network), kAskTimeout);
  look.cancel = cancel;
  absl::StatusOr<io::SubprocessResult> seen = Run(look);
  for (int surprises = 0; surprises < kMaxSurprises; ++surprises) {
    if (!seen.ok() || seen->exit_code == 0 ||
        FailureOf(seen->err) != DockerFailure::kNetworkAmbiguous) {
      break;
    }
    RETURN_IF_ERROR(MergeNetworks());
    seen = Run(look);
  }
  return seen;
}

absl::Status LocalDockerPlatform::EnsureNetwork(LaunchSession& session) const {
  const std::string what = "docker network " + config_.network;
  ASSIGN_OR_RETURN(const io::SubprocessResult present, InspectNetwork(&session.cancel()));
  if (present.exit_code == 0) return absl::OkStatus();
  if (FailureOf(present.err) != DockerFailure::kNoNetwork) {
    return DockerError(what + " could not be looked up", present.exit_code, present.err);
  }
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kCreateNetwork));
  io::SubprocessOptions create =
      Docker(RenderNetworkCreate(config_.network, config_.daemon_id), kRemoveTimeout);
  create.cancel = &session.cancel();
  ASSIGN_OR_RETURN(const io::SubprocessResult created, Run(create));
  if (created.exit_code != 0 && FailureOf(created.err) != DockerFailure::kNetworkExists) {
    return DockerError(what + " could not be created", created.exit_code, created.err);
  }
  return session.EndStep(registry::Step::kCreateNetwork);
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

absl::StatusOr<PlatformState> LocalDockerPlatform::Observe(const PlatformJob& job) {
  const absl::StatusOr<std::optional<ContainerFacts>> found = Inspect(job.job_id);
  if (!found.ok()) return CouldNotAsk(found.status());
  if (!found->has_value() || !IsOurs(**found, job)) {
    return PlatformState{.state = PlatformState::State::kGone, .detail = "", .exit_code = {}};
  }
  if ((*found)->status == "removing") {  // by somebody else; what it was is no longer told
    return absl::UnavailableError(absl::StrFormat("container %s is being removed", job.job_id));
  }
  return ToPlatformState(**found);
}

Platform::Endpoint LocalDockerPlatform::EndpointOf(const PlatformJob& job) const {
  const std::string on_host = absl::StrFormat("localhost:%d", job.host_port);
  const std::string on_network = absl::StrFormat("%s:%d", job.job_id, kContainerPort);
  Endpoint endpoint = {
      .host_url = "http://" + on_host, .docker_url = "http://" + on_network, .backend = {}};
  const bool by_name = config_.reach == DockerReach::kNetwork;
  endpoint.backend.host = by_name ? job.job_id : "127.0.0.1";
  endpoint.backend.port = by_name ? kContainerPort : job.host_port;
  endpoint.backend.authority = by_name ? on_network : on_host;
  return endpoint;
}

absl::Status LocalDockerPlatform::Remove(const std::string& name) const {
  for (int round = 0; round < kRemovalRounds; ++round) {
    // -v: its anonymous volumes too. Exits with 0 when there is no such container.
    ASSIGN_OR_RETURN(const io::SubprocessResult result,
                     Run(Docker({"rm", "-f", "-v", name}, kRemoveTimeout)));
    if (result.exit_code == 0) return absl::OkStatus();
    const DockerFailure failure = FailureOf(result.err);
    if (failure == DockerFailure::kNoContainer) return absl::OkStatus();
    if (failure != DockerFailure::kRemovalInProgress) {
      return DockerError("container " + name + " could not be removed", result.exit_code,
                         result.err);
    }
    WaitRound(nullptr);
  }
  return absl::UnavailableError(
      absl::StrFormat("docker is still removing container %s; it is asked again", name));
}

absl::Status LocalDockerPlatform::RemoveLate(const std::string& name, int rounds) const {
  const PlatformJob job = {.job_id = name, .host_port = 0, .driver_state = {}};
  for (int round = 0; round < rounds; ++round) {
    ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(name));
    if (found.has_value() && !IsOurs(*found, job)) return absl::OkStatus();
    if (found.has_value()) return Remove(name);
    if (round + 1 < rounds) WaitRound(nullptr);
  }
  return absl::OkStatus();
}

absl::Status LocalDockerPlatform::RemoveNetworkIfLast() const {
  ASSIGN_OR_RETURN(const io::SubprocessResult present, InspectNetwork(/*cancel=*/nullptr));
  if (present.exit_code != 0) {
    const DockerFailure failure = FailureOf(present.err);
    if (failure == DockerFailure::kNoNetwork) return absl::OkStatus();
    if (failure == DockerFailure::kNetworkAmbiguous) return absl::OkStatus();  // all are in use
    return DockerError("docker network " + config_.network + " could not be looked up",
                       present.exit_code, present.err);
  }
  ASSIGN_OR_RETURN(const NetworkFacts facts, ParseNetwork(present.out));
  if (facts.daemon_id != config_.daemon_id || facts.endpoints > 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const io::SubprocessResult removed,
                   Run(Docker({"network", "rm", config_.network}, kRemoveTimeout)));
  const DockerFailure failure = FailureOf(removed.err);
  if (removed.exit_code == 0 || failure == DockerFailure::kNoNetwork ||
      failure == DockerFailure::kNetworkInUse) {
    return absl::OkStatus();
  }
  return DockerError("docker network " + config_.network + " could not be removed",
                     removed.exit_code, removed.err);
}

absl::Status LocalDockerPlatform::Stop(const PlatformJob& job, const StopOptions& options,
                                       StopSession& session) {
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kEndJob));
  ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(job.job_id));
  const bool ours = found.has_value() && IsOurs(*found, job);
  if (ours) {
    const int64_t grace = std::max<int64_t>(absl::ToInt64Seconds(options.grace_period), 0);
    // Whatever it answers, rm -f has the last word, and says what is wrong.
    RETURN_IF_ERROR(Run(Docker({"stop", "-t", std::to_string(grace), job.job_id},
                               options.grace_period + kRemoveTimeout))
                        .status());
  }
  RETURN_IF_ERROR(session.EndStep(registry::Step::kEndJob));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveContainer));
  if (ours) RETURN_IF_ERROR(Remove(job.job_id));
  RETURN_IF_ERROR(session.EndStep(registry::Step::kRemoveContainer));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveNetwork));
  RETURN_IF_ERROR(RemoveNetworkIfLast());
  return session.EndStep(registry::Step::kRemoveNetwork);
}

absl::Status LocalDockerPlatform::StreamLogs(const PlatformJob& job, const LogOptions& options,
                                             LogSink& sink, const base::CancelToken& cancel) {
  ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(job.job_id));
  if (!found.has_value() || !IsOurs(*found, job)) {
    return absl::NotFoundError(
        absl::StrFormat("service %s has no container, so there are no logs of it", job.job_id));
  }
  bool reader_left = false;
  io::SubprocessOptions logs = Docker(RenderLogs(job.job_id, options.tail_lines, options.follow),
                                      options.follow ? absl::InfiniteDuration() : options.timeout);
  logs.max_output_bytes = 16 << 10;  // the sink has it; this is for the words of a failure
  logs.cancel = &cancel;
  logs.on_line = [&sink, &reader_left](bool, std::string_view line) {
    reader_left = !sink.OnLine(line);
    return !reader_left;
  };
  const absl::StatusOr<io::SubprocessResult> result = Run(logs);
  if (reader_left) return absl::OkStatus();
  RETURN_IF_ERROR(result.status());
  if (result->exit_code == 0) return absl::OkStatus();
  return DockerError(absl::StrFormat("the logs of service %s could not be read", job.job_id),
                     result->exit_code, result->err);
}

absl::StatusOr<std::vector<FoundJob>> LocalDockerPlatform::FindOurs() {
  ASSIGN_OR_RETURN(const io::SubprocessResult listed,
                   Run(Docker(RenderFindOurs(config_.daemon_id), kAskTimeout)));
  if (listed.exit_code != 0) {
    return CouldNotAsk(
        DockerError("docker could not list its containers", listed.exit_code, listed.err));
  }
  const std::vector<std::string> ids =
      absl::StrSplit(listed.out, absl::ByAnyChar("\r\n"), absl::SkipWhitespace());
  std::vector<FoundJob> found;
  if (ids.empty()) return found;
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run(Docker(RenderInspect(ids), kAskTimeout)));
  // One that went in between is left out of what is printed; the others are there.
  if (result.exit_code != 0 && FailureOf(result.err) != DockerFailure::kNoContainer) {
    return CouldNotAsk(DockerError("docker could not be asked about its containers",
                                   result.exit_code, result.err));
  }
  ASSIGN_OR_RETURN(const std::vector<ContainerFacts> containers, ParseContainers(result.out));
  for (const ContainerFacts& facts : containers) {
    const PlatformJob job = {.job_id = facts.name, .host_port = 0, .driver_state = {}};
    if (!base::IsUuid(facts.name) || !IsOurs(facts, job)) continue;
    found.push_back({.job_id = facts.name, .state = ToPlatformState(facts)});
  }
  return found;
}

}  // namespace tao::platforms
