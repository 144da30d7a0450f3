// LocalDockerPlatform's check: what a start needs of this host and its Docker engine.

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <algorithm>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/local_docker/local_docker_platform.h"
#include "server/platforms/preflight.h"

namespace tao::platforms {
namespace {

absl::Status CheckNetworkName(const std::string& network) {
  if (network != "host" && network != "none" && !network.starts_with("container:")) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("DOCKER_NETWORK is %s, in which a container cannot publish its port. Name a "
                      "bridge network, or leave it out for %s",
                      base::Quoted(network), kDefaultDockerNetwork));
}

absl::Status CheckLocalEngine(std::string_view host) {
  if (IsLocalEngine(host)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("docker talks to the engine at %s, and local-docker starts services on this "
                      "host alone. Unset "
                      "DOCKER_HOST, choose the context of this host (docker context use default), "
                      "or run the server "
                      "on that host",
                      base::Quoted(host)));
}

}  // namespace

absl::StatusOr<std::string> LocalDockerPlatform::EngineHost(absl::Duration timeout) const {
  const std::string host = config_.environment("DOCKER_HOST").value_or("");
  if (!host.empty()) return host;
  // Then the context chooses; an engine so old that it has none is the default.
  ASSIGN_OR_RETURN(
      const io::SubprocessResult context,
      Run(Docker({"context", "inspect", "--format", "{{.Endpoints.docker.Host}}"}, timeout)));
  if (context.exit_code != 0) {
    return DockerError("docker's context could not be read", context.exit_code, context.err);
  }
  return std::string(absl::StripAsciiWhitespace(context.out));
}

absl::StatusOr<std::string> LocalDockerPlatform::EngineVersion(absl::Duration timeout) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult engine,
                   Run(Docker({"version", "--format", "{{.Server.Version}}"}, timeout)));
  if (engine.exit_code != 0) {
    return DockerError("the Docker engine cannot be used", engine.exit_code, engine.err);
  }
  return std::string(absl::StripAsciiWhitespace(engine.out));
}

std::vector<CheckItem> LocalDockerPlatform::Check(const CheckRequest& request,
                                                  absl::Duration deadline) {
  const absl::Time end = absl::Now() + deadline;
  const auto left = [end] { return std::max(end - absl::Now(), absl::Milliseconds(1)); };
  std::vector<CheckItem> items;
  // False ends the checks: what comes after would only say the same again.
  const auto add = [&items](std::string_view name, const absl::Status& status,
                            std::string_view found) {
    items.push_back(ItemOf(name, status, found));
    return status.ok();
  };
  add("network", CheckNetworkName(config_.network), "is " + config_.network);
  const absl::StatusOr<io::SubprocessResult> client = Run(Docker({"--version"}, left()));
  absl::Status usable = client.status();
  if (client.ok()) usable = CheckDockerVersion(client->out);
  const std::string client_version =
      client.ok() ? std::string(absl::StripAsciiWhitespace(client->out)) : "";
  if (!add("client", usable, client_version)) return items;
  const absl::StatusOr<std::string> host = EngineHost(left());
  absl::Status local = host.status();
  if (host.ok()) local = CheckLocalEngine(*host);
  if (!add("engine-host", local, host.ok() ? *host : "")) return items;
  const absl::StatusOr<std::string> engine = EngineVersion(left());
  if (!add("engine", engine.status(), engine.ok() ? "is version " + *engine : "")) return items;
  items.push_back(HostGpuItem(request.gpus, config_.gpu_sources, left()));
  return items;
}

}  // namespace tao::platforms
