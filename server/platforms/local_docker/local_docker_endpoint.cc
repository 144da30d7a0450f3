// LocalDockerPlatform's endpoints: what an engine of this host publishes on loopback, a tunnel to
// the loopback of another host, or an address there.

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/connect_probe.h"
#include "server/platforms/docker/docker_render.h"
#include "server/platforms/local_docker/local_docker_platform.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kTunnelLimit = absl::Seconds(60);
constexpr absl::Duration kProbeLimit = absl::Seconds(5);

// As in a URL.
std::string InUrl(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

// Where the host of the engine finds what is published at `address`.
std::string ForwardTo(const std::string& address, int port) {
  if (address == "::") return absl::StrFormat("[::1]:%d", port);
  const bool anywhere = address.empty() || address == "0.0.0.0";
  return absl::StrFormat("%s:%d", anywhere ? "127.0.0.1" : InUrl(address), port);
}

}  // namespace

TunnelSpec LocalDockerPlatform::TunnelOf(const LocalDockerState& state, int host_port,
                                         int published) const {
  io::SshTarget target = SshTargetOf(state.engine.host).value_or(io::SshTarget());
  target.program = config_.ssh_program;
  return {.argv = io::SshForwardArgv(target, host_port, ForwardTo(state.published, published)),
          .unset_env = config_.secret_names,
          .local_port = host_port,
          .explain = [target](std::string_view err) { return io::SshError(target, err); }};
}

absl::Status LocalDockerPlatform::OpenTunnel(Launching& launch, PlatformJob& job) const {
  LaunchSession& session = launch.session;
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kOpenTunnel));
  while (true) {
    const absl::Status opened =
        config_.tunnels->Open(job.job_id, TunnelOf(launch.state, job.host_port, job.instance_port),
                              kTunnelLimit, session.cancel());
    if (opened.ok()) break;
    if (!absl::IsResourceExhausted(opened)) return opened;
    ASSIGN_OR_RETURN(job.host_port, session.NextPort());
  }
  return session.EndStep(registry::Step::kOpenTunnel);
}

absl::Status LocalDockerPlatform::Dial(Launching& launch, int port) const {
  const std::string& host = launch.access.dial_host;
  const std::string where = absl::StrFormat("%s:%d", InUrl(host), port);
  launch.session.ReportProgress(
      {.stage = "connecting", .message = "waiting until " + where + " takes a connection"});
  const absl::Time begun = absl::Now();
  absl::Time last_answer = begun;
  std::string ip;
  while (true) {
    const Reach reach = ProbeConnect(host, port, kProbeLimit, &ip);
    if (reach == Reach::kConnected) break;
    if (launch.session.cancel().cancelled()) {
      return absl::CancelledError("the start was cancelled");
    }
    ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found,
                     Inspect(launch.state.engine, launch.plan.job_id));
    if (!found.has_value() || found->status != "running") {
      ip = host;  // nobody will be there; why it ended is what is told next
      break;
    }
    if (reach == Reach::kRefused) last_answer = absl::Now();
    const bool refused_long = absl::Now() - begun > config_.refused_limit;
    if (refused_long || absl::Now() - last_answer > config_.no_answer_limit) {
      return absl::UnavailableError(absl::StrFormat(
          "%s, where %s publishes the service, %s. A firewall there may be in the way: open the "
          "ports 8080 to 8199 of that host to this one, or use ssh:// without --publish-address",
          where, Describe(launch.state.engine),
          refused_long ? "refuses connections" : "does not answer"));
    }
    WaitDockerRound(&launch.session.cancel());
  }
  launch.state.address = host;
  launch.state.ip = ip;
  return absl::OkStatus();
}

absl::Status LocalDockerPlatform::OpenEndpoint(Launching& launch, PlatformJob& job) const {
  if (launch.access.tunnel) return OpenTunnel(launch, job);
  const absl::Status dialled = Dial(launch, job.instance_port);
  if (dialled.ok() || !absl::IsUnavailable(dialled)) return dialled;
  if (!IsSshEngine(launch.state.engine.host)) {
    return absl::FailedPreconditionError(std::string(base::ToStd(dialled.message())));
  }
  base::Log(base::LogLevel::kWarning, "platforms",
            "the published address takes no connection from here, so a tunnel is used",
            {{"job_id", job.job_id}, {"why", std::string(base::ToStd(dialled.message()))}});
  return OpenTunnel(launch, job);
}

void LocalDockerPlatform::Adopt(const PlatformJob& job) {
  const LocalDockerState state = ToLocalDockerState(job.driver_state);
  if (state.engine.host.empty()) return;
  Remember(state.engine);
  if (!IsSshEngine(state.engine.host) || !state.address.empty() || job.instance_port == 0) return;
  config_.tunnels->Adopt(job.job_id, TunnelOf(state, job.host_port, job.instance_port));
}

Platform::Endpoint LocalDockerPlatform::EndpointOf(const PlatformJob& job) const {
  const LocalDockerState state = ToLocalDockerState(job.driver_state);
  const bool direct = !state.address.empty();
  const int port = direct ? job.instance_port : job.host_port;
  const std::string on_host =
      absl::StrFormat("%s:%d", direct ? InUrl(state.address) : "localhost", port);
  const std::string on_network = absl::StrFormat("%s:%d", job.job_id, kContainerPort);
  Endpoint endpoint = {
      .host_url = "http://" + on_host, .docker_url = "http://" + on_network, .backend = {}};
  // The host of an engine is an instance, with ports of its own.
  if (!IsLocalEngine(state.engine.host)) endpoint.instance_id = state.engine.host;
  const bool by_name = config_.reach == DockerReach::kNetwork && IsLocalEngine(state.engine.host);
  endpoint.backend.host = by_name ? job.job_id : direct ? state.ip : "127.0.0.1";
  endpoint.backend.port = by_name ? kContainerPort : port;
  endpoint.backend.authority = by_name ? on_network : on_host;
  return endpoint;
}

}  // namespace tao::platforms
