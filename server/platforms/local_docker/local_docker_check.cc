// LocalDockerPlatform's check: what a start needs of this host and of the Docker engine.

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

// What a person should know of the way to `engine`.
std::string Reached(const DockerEngine& engine, const EngineAccess& access) {
  std::string text = engine.host;
  if (!engine.context.empty()) text += " by context " + engine.context;
  if (access.local()) return text;
  text += ", an engine on another host: mounts are folders there, and services are reached ";
  return text + (access.tunnel ? "by a tunnel" : "at " + access.dial_host);
}

CheckItem EngineHostItem(const DockerEngine& engine, const absl::StatusOr<EngineAccess>& access) {
  if (!access.ok()) return ItemOf("engine-host", access.status(), "");
  CheckItem item = ItemOf("engine-host", absl::OkStatus(), Reached(engine, *access));
  if (access->local() || IsSshEngine(engine.host) || engine.tls) return item;
  item.outcome = CheckItem::Outcome::kWarning;
  item.message +=
      ". Without TLS anybody on the way reads the secrets of services, and anybody who reaches the "
      "engine is root there: use ssh://, or certificates (docker context create)";
  return item;
}

}  // namespace

absl::StatusOr<std::string> LocalDockerPlatform::EngineVersion(const DockerEngine& engine,
                                                               absl::Duration timeout) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult version,
                   Run(Docker(engine, {"version", "--format", "{{.Server.Version}}"}, timeout)));
  if (version.exit_code != 0) {
    return EngineError(engine, "the Docker engine cannot be used", version.exit_code, version.err);
  }
  return std::string(absl::StripAsciiWhitespace(version.out));
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
  const absl::StatusOr<io::SubprocessResult> client =
      Run(Docker(DockerEngine(), {"--version"}, left()));
  absl::Status usable = client.status();
  if (client.ok()) usable = CheckDockerVersion(client->out);
  const std::string client_version =
      client.ok() ? std::string(absl::StripAsciiWhitespace(client->out)) : "";
  if (!add("client", usable, client_version)) return items;
  const absl::StatusOr<DockerEngine> engine = PresentEngine(left());
  if (!engine.ok()) {
    add("engine-host", engine.status(), "");
    return items;
  }
  const auto option = request.options.find("publish-address");
  const absl::StatusOr<EngineAccess> access =
      AccessTo(*engine, option == request.options.end() ? "" : option->second,
               config_.reach == DockerReach::kNetwork);
  items.push_back(EngineHostItem(*engine, access));
  if (!access.ok()) return items;
  const absl::StatusOr<std::string> version = EngineVersion(*engine, left());
  if (!add("engine", version.status(), version.ok() ? "is version " + *version : "")) return items;
  items.push_back(access->local() ? HostGpuItem(request.gpus, config_.gpu_sources, left())
                                  : RemoteGpuItem(*engine, request.gpus, left()));
  return items;
}

}  // namespace tao::platforms
