// BrevPlatform's endpoints: a tunnel to the instance's loopback, or the instance's own address.

#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <vector>

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/io/file.h"
#include "server/io/subprocess.h"
#include "server/platforms/brev/brev_platform.h"
#include "server/platforms/docker/docker_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kTunnelLimit = absl::Seconds(60);
constexpr absl::Duration kLookUpLimit = absl::Seconds(10);
constexpr int kConnectLimitMs = 5000;

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

// `text` as an address; null when it is a name.
Addresses AddressOf(const std::string& text, int port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(text.c_str(), std::to_string(port).c_str(), &hints, &found);
  return {error == 0 ? found : nullptr, &freeaddrinfo};
}

// By a program, since getaddrinfo has neither a limit nor an end from outside.
absl::StatusOr<std::vector<std::string>> LookUp(const std::string& host,
                                                const base::CancelToken& cancel) {
  io::SubprocessOptions options;
  options.argv = {"getent", "ahosts", "--", host};
  options.inherit_env = false;
  options.env = {{"PATH", "/usr/bin:/bin"}};
  options.timeout = kLookUpLimit;
  options.cancel = &cancel;
  ASSIGN_OR_RETURN(const io::SubprocessResult result, io::RunSubprocess(options));
  std::vector<std::string> addresses;
  for (const absl::string_view line : absl::StrSplit(result.out, '\n', absl::SkipEmpty())) {
    std::string address(line.substr(0, line.find(' ')));
    // One line for each kind of socket.
    if (addresses.empty() || addresses.back() != address) addresses.push_back(std::move(address));
  }
  if (!addresses.empty()) return addresses;
  return absl::UnavailableError(absl::StrFormat("the name %s is not known here", host));
}

bool Connects(const addrinfo& address, const base::CancelToken& cancel) {
  const io::UniqueFd fd(socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return false;
  if (connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd waiting[] = {{.fd = fd.get(), .events = POLLOUT, .revents = 0},
                      {.fd = cancel.fd(), .events = POLLIN, .revents = 0}};
  if (poll(waiting, 2, kConnectLimitMs) < 1 || waiting[1].revents != 0) return false;
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

// The first numeric address of `host` that takes a connection on `port`.
absl::StatusOr<std::string> ConnectTo(const std::string& host, int port,
                                      const base::CancelToken& cancel) {
  std::vector<std::string> addresses = {host};
  if (AddressOf(host, port) == nullptr) {
    ASSIGN_OR_RETURN(addresses, LookUp(host, cancel));
  }
  for (const std::string& each : addresses) {
    const Addresses address = AddressOf(each, port);
    if (address != nullptr && Connects(*address, cancel)) return each;
    if (cancel.cancelled()) return absl::CancelledError("cancelled");
  }
  return absl::UnavailableError(absl::StrFormat("%s:%d takes no connection", host, port));
}

// As in a URL.
std::string HostInUrl(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

}  // namespace

TunnelSpec BrevPlatform::TunnelOf(const BrevState& state, int host_port, int instance_port) const {
  const io::SshTarget target = ShellOf(state.instance_name).target();
  return {
      .argv = io::SshForwardArgv(target, host_port, absl::StrFormat("127.0.0.1:%d", instance_port)),
      .unset_env = config_.secret_names,
      .local_port = host_port,
      .explain = [target](std::string_view err) {
        return InstanceSshError(target.host, io::SshError(target, err));
      }};
}

absl::Status BrevPlatform::OpenEndpoint(const launch::LaunchPlan& plan, const SshAlias& alias,
                                        LaunchSession& session, PlatformJob& job,
                                        BrevState& state) const {
  const auto address = plan.platform_options.find("publish-address");
  if (address != plan.platform_options.end() && address->second == "0.0.0.0") {
    const absl::StatusOr<std::string> ip =
        alias.proxied ? absl::UnavailableError("the instance has no address of its own")
                      : ConnectTo(alias.hostname, job.instance_port, session.cancel());
    if (ip.ok()) {
      state.address = alias.hostname;
      state.ip = *ip;
      return session.SaveDriverState(state.ToMap());
    }
    if (absl::IsCancelled(ip.status())) return ip.status();
    base::Log(base::LogLevel::kWarning, "platforms",
              "the instance's own address takes no connection from here, so a tunnel is used; the "
              "provider's firewall may be in the way",
              {{"job_id", plan.job_id}, {"why", std::string(base::ToStd(ip.status().message()))}});
  }
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kOpenTunnel));
  while (true) {
    const absl::Status opened =
        config_.tunnels->Open(plan.job_id, TunnelOf(state, job.host_port, job.instance_port),
                              kTunnelLimit, session.cancel());
    if (opened.ok()) break;
    if (!absl::IsResourceExhausted(opened)) return opened;
    ASSIGN_OR_RETURN(job.host_port, session.NextPort());
  }
  return session.EndStep(registry::Step::kOpenTunnel);
}

void BrevPlatform::Adopt(const PlatformJob& job) {
  const BrevState state = ToBrevState(job.driver_state);
  if (!state.address.empty() || state.instance_name.empty() || job.instance_port == 0) return;
  config_.tunnels->Adopt(job.job_id, TunnelOf(state, job.host_port, job.instance_port));
}

Platform::Endpoint BrevPlatform::EndpointOf(const PlatformJob& job) const {
  const BrevState state = ToBrevState(job.driver_state);
  Endpoint endpoint;
  const bool direct = !state.address.empty();
  const int port = direct ? job.instance_port : job.host_port;
  endpoint.backend.host = direct ? state.ip : "127.0.0.1";
  endpoint.backend.port = port;
  endpoint.backend.authority =
      absl::StrFormat("%s:%d", direct ? HostInUrl(state.address) : "localhost", port);
  endpoint.host_url = "http://" + endpoint.backend.authority;
  if (!state.network.empty()) {
    endpoint.docker_url = absl::StrFormat("http://%s:%d", job.job_id, kContainerPort);
  }
  endpoint.instance_id = state.instance_id;
  return endpoint;
}

}  // namespace tao::platforms
