#include "server/platforms/brev/brev_instance.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <poll.h>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/brev/brev_parse.h"
#include "server/platforms/brev/brev_render.h"
#include "server/platforms/docker/docker_parse.h"
#include "server/platforms/docker/docker_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(45);     // ssh's connect is 15 s of it
constexpr absl::Duration kRemoveTimeout = absl::Seconds(90);  // rm waits for the container's end
constexpr int kRemovalRounds = 30;
constexpr int kRemovalRoundMs = 1000;
constexpr int kNoProgram = 127;  // of a shell

}  // namespace

absl::StatusOr<io::SubprocessResult> BrevInstanceShell::Run(const io::SshCommand& command) const {
  absl::StatusOr<io::SubprocessResult> result = io::RunSsh(target_, command);
  if (!result.ok()) return InstanceSshError(name(), result.status());
  return result;
}

absl::StatusOr<io::SubprocessResult> BrevInstanceShell::Docker(
    const std::vector<std::string>& arguments, absl::Duration timeout,
    const base::CancelToken* cancel) const {
  io::SshCommand command;
  command.command = DockerCommand(arguments);
  command.timeout = timeout;
  command.cancel = cancel;
  return Run(command);
}

absl::Status BrevInstanceShell::Answers(absl::Duration timeout,
                                        const base::CancelToken* cancel) const {
  io::SshCommand command;
  command.command = "echo ok";
  command.timeout = timeout;
  command.cancel = cancel;
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run(command));
  if (result.exit_code == 0 && result.out == "ok\n") return absl::OkStatus();
  return absl::UnavailableError(absl::StrFormat(
      "instance %s runs no commands: %s", base::Quoted(name()), base::Quoted(result.err, 300)));
}

absl::StatusOr<std::string> BrevInstanceShell::DockerVersion(absl::Duration timeout) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result,
                   Docker({"version", "--format", "{{.Server.Version}}"}, timeout, nullptr));
  if (result.exit_code == 0) return std::string(absl::StripAsciiWhitespace(result.out));
  if (result.exit_code == kNoProgram) {
    return absl::FailedPreconditionError(
        absl::StrFormat("instance %s has no docker. Choose one whose image has it (brev create "
                        "--mode vm), or install it there",
                        base::Quoted(name())));
  }
  return InstanceDockerError(name(), "docker cannot be used", result.exit_code, result.err);
}

absl::StatusOr<std::vector<HostGpu>> BrevInstanceShell::Gpus(
    absl::Duration timeout, const base::CancelToken* cancel) const {
  io::SshCommand command;
  command.command = "nvidia-smi --query-gpu=index,uuid,memory.used --format=csv,noheader,nounits";
  command.timeout = timeout;
  command.cancel = cancel;
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run(command));
  if (result.exit_code != 0 && result.exit_code != kNoProgram) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "nvidia-smi on instance %s failed: %s. The instance's driver does not work: restart it, or "
        "use another one",
        base::Quoted(name()), base::Quoted(result.err + result.out, 300)));
  }
  ASSIGN_OR_RETURN(std::vector<HostGpu> gpus,
                   ParseNvidiaSmi(result.exit_code == 0 ? result.out : ""));
  if (!gpus.empty()) return gpus;
  return absl::FailedPreconditionError(absl::StrFormat(
      "instance %s has no GPU: nvidia-smi is not there, or lists none. Use an instance that has "
      "one, or say --gpu-mode none to start without (demos and tests: the models themselves need "
      "one)",
      base::Quoted(name())));
}

absl::Status BrevInstanceShell::CheckNetwork(const std::string& network,
                                             absl::Duration timeout) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result,
                   Docker(RenderNetworkInspect(network), timeout, nullptr));
  if (result.exit_code == 0) return absl::OkStatus();
  if (FailureOf(result.err) == DockerFailure::kNoNetwork) return NoNetwork(network);
  return InstanceDockerError(name(), "docker could not be asked about network " + network,
                             result.exit_code, result.err);
}

absl::Status BrevInstanceShell::NoNetwork(const std::string& network) const {
  return absl::FailedPreconditionError(absl::StrFormat(
      "instance %s has no docker network %s. Create it there (docker network create), or correct "
      "--network, or leave it out",
      base::Quoted(name()), base::Quoted(network)));
}

absl::StatusOr<std::set<std::string>> BrevInstanceShell::TakenGpus(
    absl::Duration timeout, const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Docker(RenderTakenGpus(), timeout, cancel));
  if (result.exit_code != 0) {
    return InstanceDockerError(name(), "docker could not list its containers", result.exit_code,
                               result.err);
  }
  return ParseTakenGpus(result.out);
}

absl::StatusOr<std::vector<ContainerFacts>> BrevInstanceShell::InspectOurs(
    const std::string& daemon_id, absl::Duration timeout, const base::CancelToken* cancel) const {
  io::SshCommand command;
  command.command = InspectOursCommand(daemon_id);
  command.timeout = timeout;
  command.cancel = cancel;
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run(command));
  // One that went between the two commands is not printed, and said to be missing.
  if (result.exit_code != 0 && FailureOf(result.err) != DockerFailure::kNoContainer) {
    return InstanceDockerError(name(), "docker could not be asked about its containers",
                               result.exit_code, result.err);
  }
  return ParseContainers(result.out);
}

absl::StatusOr<std::optional<ContainerFacts>> BrevInstanceShell::Inspect(
    const std::string& container, const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result,
                   Docker(RenderInspect({container}), kAskTimeout, cancel));
  if (result.exit_code != 0) {
    if (FailureOf(result.err) == DockerFailure::kNoContainer) {
      return std::optional<ContainerFacts>();
    }
    return InstanceDockerError(name(), "docker could not be asked about container " + container,
                               result.exit_code, result.err);
  }
  ASSIGN_OR_RETURN(std::vector<ContainerFacts> containers, ParseContainers(result.out));
  // docker also finds a container by a beginning of its id, which is not what we look for.
  if (containers.size() != 1 || containers.front().name != container) {
    return std::optional<ContainerFacts>();
  }
  return std::optional<ContainerFacts>(std::move(containers.front()));
}

absl::Status BrevInstanceShell::Remove(const std::string& container,
                                       const base::CancelToken* cancel) const {
  for (int round = 0; round < kRemovalRounds; ++round) {
    // -v: its anonymous volumes too. Exits with 0 when there is no such container.
    ASSIGN_OR_RETURN(const io::SubprocessResult result,
                     Docker({"rm", "-f", "-v", container}, kRemoveTimeout, cancel));
    const DockerFailure failure = FailureOf(result.err);
    if (result.exit_code == 0 || failure == DockerFailure::kNoContainer) return absl::OkStatus();
    if (failure != DockerFailure::kRemovalInProgress) {
      return InstanceDockerError(name(), "container " + container + " could not be removed",
                                 result.exit_code, result.err);
    }
    pollfd waiting = {.fd = cancel == nullptr ? -1 : cancel->fd(), .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, kRemovalRoundMs) == 1) return absl::CancelledError("cancelled");
  }
  return absl::UnavailableError(
      absl::StrFormat("docker on instance %s is still removing container %s; it is asked again",
                      base::Quoted(name()), container));
}

}  // namespace tao::platforms
