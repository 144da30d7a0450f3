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

#include "server/base/errors.h"
#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/platforms/docker/docker_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kGpuTimeout = absl::Seconds(20);  // a cold driver takes seconds
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

// An answer that did not come is never an answer.
absl::Status CouldNotAsk(const absl::Status& status) {
  return absl::UnavailableError(std::string(base::ToStd(status.message())));
}

}  // namespace

void WaitDockerRound(const base::CancelToken* cancel) {
  pollfd waiting = {.fd = cancel == nullptr ? -1 : cancel->fd(), .events = POLLIN, .revents = 0};
  poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(kDockerRound)));
}

LocalDockerPlatform::LocalDockerPlatform(LocalDockerConfig config)
    : config_(Complete(std::move(config))) {}

const PlatformTraits& LocalDockerPlatform::traits() const {
  static constexpr PlatformOption kOptions[] = {
      {"publish-address",
       "where an engine on another host publishes the port: its loopback, reached by a tunnel "
       "(default, ssh:// alone), an address of that host, or 0.0.0.0"},
  };
  static constexpr PlatformTraits kTraits = {.name = "local-docker",
                                             .execution_backend = "local-docker",
                                             .own_network = true,
                                             .host_filesystem = false,
                                             .host_port = HostPort::kForwarded,
                                             .options = kOptions};
  return kTraits;
}

absl::Status LocalDockerPlatform::CheckOptions(
    const std::map<std::string, std::string>& options) const {
  const auto address = options.find("publish-address");
  if (address == options.end() || IsAddress(address->second)) return absl::OkStatus();
  const std::string description =
      absl::StrFormat("%s is no IP address", base::Quoted(address->second));
  return base::WithDetails(
      absl::InvalidArgumentError("platform_options.publish-address " + description),
      {.violations = {{"platform_options.publish-address", description}}});
}

absl::StatusOr<std::vector<std::string>> LocalDockerPlatform::GpuIds(
    const launch::GpuRequest& request) {
  if (request.mode == launch::GpuMode::kNone) return std::vector<std::string>();
  ASSIGN_OR_RETURN(const DockerEngine engine, PresentEngine(kDockerAskTimeout));
  if (!IsLocalEngine(engine.host)) return std::vector<std::string>();
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
    const DockerEngine& engine, const std::string& name) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result,
                   Run(Docker(engine, RenderInspect({name}), kDockerAskTimeout)));
  if (result.exit_code != 0) {
    if (FailureOf(result.err) == DockerFailure::kNoContainer) {
      RETURN_IF_ERROR(CheckContext(engine));
      return std::optional<ContainerFacts>();
    }
    return EngineError(engine, "docker could not be asked about container " + name,
                       result.exit_code, result.err);
  }
  ASSIGN_OR_RETURN(std::vector<ContainerFacts> containers, ParseContainers(result.out));
  // docker also finds a container by a beginning of its id, which is not what we look for.
  if (containers.size() != 1 || containers.front().name != name) {
    return std::optional<ContainerFacts>();
  }
  return std::optional<ContainerFacts>(std::move(containers.front()));
}

absl::StatusOr<PlatformState> LocalDockerPlatform::Observe(const PlatformJob& job) {
  const absl::StatusOr<DockerEngine> engine = EngineOf(job);
  if (!engine.ok()) return CouldNotAsk(engine.status());
  const absl::StatusOr<std::optional<ContainerFacts>> found = Inspect(*engine, job.job_id);
  if (!found.ok()) return CouldNotAsk(found.status());
  if (!found->has_value() || !IsOurs(**found, job)) {
    return PlatformState{.state = PlatformState::State::kGone, .detail = "", .exit_code = {}};
  }
  if ((*found)->status == "removing") {  // by somebody else; what it was is no longer told
    return absl::UnavailableError(absl::StrFormat("container %s is being removed", job.job_id));
  }
  return ToPlatformState(**found);
}

absl::Status LocalDockerPlatform::Remove(const DockerEngine& engine,
                                         const std::string& name) const {
  for (int round = 0; round < kRemovalRounds; ++round) {
    // -v: its anonymous volumes too. Exits with 0 when there is no such container.
    ASSIGN_OR_RETURN(const io::SubprocessResult result,
                     Run(Docker(engine, {"rm", "-f", "-v", name}, kDockerRemoveTimeout)));
    if (result.exit_code == 0) return absl::OkStatus();
    const DockerFailure failure = FailureOf(result.err);
    if (failure == DockerFailure::kNoContainer) return absl::OkStatus();
    if (failure != DockerFailure::kRemovalInProgress) {
      return EngineError(engine, "container " + name + " could not be removed", result.exit_code,
                         result.err);
    }
    WaitDockerRound(nullptr);
  }
  return absl::UnavailableError(
      absl::StrFormat("docker is still removing container %s; it is asked again", name));
}

absl::Status LocalDockerPlatform::Stop(const PlatformJob& job, const StopOptions& options,
                                       StopSession& session) {
  ASSIGN_OR_RETURN(const DockerEngine engine, EngineOf(job));
  if (!IsLocalEngine(engine.host)) {
    RETURN_IF_ERROR(session.BeginStep(registry::Step::kCloseTunnel));
    config_.tunnels->Close(job.job_id);
    RETURN_IF_ERROR(session.EndStep(registry::Step::kCloseTunnel));
  }
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kEndJob));
  ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(engine, job.job_id));
  const bool ours = found.has_value() && IsOurs(*found, job);
  if (ours) {
    const int64_t grace = std::max<int64_t>(absl::ToInt64Seconds(options.grace_period), 0);
    io::SubprocessOptions stop = Docker(engine, {"stop", "-t", std::to_string(grace), job.job_id},
                                        options.grace_period + kDockerRemoveTimeout);
    stop.cancel = &session.cancel();
    // Whatever it answers, rm -f has the last word, and says what is wrong.
    RETURN_IF_ERROR(Run(stop).status());
  }
  RETURN_IF_ERROR(session.EndStep(registry::Step::kEndJob));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveContainer));
  if (ours) RETURN_IF_ERROR(Remove(engine, job.job_id));
  remote_gpus_.Release(job.job_id);
  RETURN_IF_ERROR(session.EndStep(registry::Step::kRemoveContainer));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveNetwork));
  RETURN_IF_ERROR(RemoveNetworkIfLast(engine));
  return session.EndStep(registry::Step::kRemoveNetwork);
}

absl::Status LocalDockerPlatform::StreamLogs(const PlatformJob& job, const LogOptions& options,
                                             LogSink& sink, const base::CancelToken& cancel) {
  ASSIGN_OR_RETURN(const DockerEngine engine, EngineOf(job));
  ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, Inspect(engine, job.job_id));
  if (!found.has_value() || !IsOurs(*found, job)) {
    return absl::NotFoundError(
        absl::StrFormat("service %s has no container, so there are no logs of it", job.job_id));
  }
  bool reader_left = false;
  io::SubprocessOptions logs =
      Docker(engine, RenderLogs(job.job_id, options.tail_lines, options.follow),
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
  return EngineError(engine,
                     absl::StrFormat("the logs of service %s could not be read", job.job_id),
                     result->exit_code, result->err);
}

absl::StatusOr<std::vector<FoundJob>> LocalDockerPlatform::FindOursOn(
    const DockerEngine& engine) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult listed,
                   Run(Docker(engine, RenderFindOurs(config_.daemon_id), kDockerAskTimeout)));
  if (listed.exit_code != 0) {
    return CouldNotAsk(
        EngineError(engine, "docker could not list its containers", listed.exit_code, listed.err));
  }
  const std::vector<std::string> ids =
      absl::StrSplit(listed.out, absl::ByAnyChar("\r\n"), absl::SkipWhitespace());
  std::vector<FoundJob> found;
  if (ids.empty()) return found;
  ASSIGN_OR_RETURN(const io::SubprocessResult result,
                   Run(Docker(engine, RenderInspect(ids), kDockerAskTimeout)));
  // One that went in between is left out of what is printed; the others are there.
  if (result.exit_code != 0 && FailureOf(result.err) != DockerFailure::kNoContainer) {
    return CouldNotAsk(EngineError(engine, "docker could not be asked about its containers",
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