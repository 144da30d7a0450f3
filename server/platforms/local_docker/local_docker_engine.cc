#include "server/platforms/local_docker/local_docker_engine.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <arpa/inet.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/docker/docker_parse.h"

namespace tao::platforms {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kLoopback = "127.0.0.1";

// The parts of "scheme://user@host:port/path".
struct EngineUrl {
  std::string scheme, user, host, port;
};

EngineUrl Split(std::string_view text) {
  EngineUrl url;
  const size_t scheme = text.find("://");
  if (scheme != std::string_view::npos) {
    url.scheme = base::AsciiLower(text.substr(0, scheme));
    text.remove_prefix(scheme + 3);
  } else {
    url.scheme = "tcp";  // as docker takes "far:2375"
  }
  text = text.substr(0, text.find('/'));
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    url.user = text.substr(0, at);
    text.remove_prefix(at + 1);
  }
  const size_t bracket = text.starts_with('[') ? text.find(']') : std::string_view::npos;
  if (bracket != std::string_view::npos) {
    url.host = text.substr(1, bracket - 1);
    text.remove_prefix(bracket + 1);
    if (text.starts_with(':')) url.port = text.substr(1);
    return url;
  }
  const size_t colon = text.rfind(':');
  url.host = text.substr(0, colon);
  if (colon != std::string_view::npos) url.port = text.substr(colon + 1);
  return url;
}

bool IsLoopback(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

bool IsWildcard(std::string_view address) { return address == "0.0.0.0" || address == "::"; }

}  // namespace

bool IsLocalEngine(std::string_view host) {
  return host.empty() || host.starts_with("unix://") || host.starts_with('/');
}

bool IsSshEngine(std::string_view host) { return base::AsciiLower(host.substr(0, 6)) == "ssh://"; }

std::vector<std::string> RenderContextInspect(std::string_view name) {
  std::vector<std::string> arguments = {
      "context", "inspect", "--format",
      "{\"name\":{{json .Name}},\"host\":{{json .Endpoints.docker.Host}},"
      "\"tls\":{{json .TLSMaterial}}}"};
  if (!name.empty()) arguments.emplace_back(name);
  return arguments;
}

absl::StatusOr<DockerEngine> ParseContext(std::string_view output) {
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  const auto text = [&json](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (!json.is_object() || text("name").empty()) {
    return absl::UnavailableError(absl::StrFormat(
        "docker described its context in a way that cannot be read: %s. Check docker's version: "
        "docker version",
        base::Quoted(output, 300)));
  }
  DockerEngine engine = {.host = text("host"), .context = "", .tls = false};
  const auto tls = json.find("tls");
  engine.tls = tls != json.end() && tls->is_object() && !tls->empty();
  if (engine.tls) engine.context = text("name");
  return engine;
}

std::vector<std::string> EngineArguments(const DockerEngine& engine) {
  if (!engine.context.empty()) return {"--context", engine.context};
  if (!engine.host.empty()) return {"--host", engine.host};
  return {};
}

std::vector<std::string> EngineUnsetEnv(const DockerEngine& engine) {
  if (engine.context.empty() && engine.host.empty()) return {};  // whatever the environment says
  const bool by_host = engine.context.empty();
  // Certificates in the environment are those of an engine in the environment.
  if (by_host && !IsLocalEngine(engine.host) && !IsSshEngine(engine.host)) return {};
  return {"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"};
}

absl::StatusOr<io::SshTarget> SshTargetOf(std::string_view host) {
  const EngineUrl url = Split(host);
  int port = 0;
  const bool bad_port = !url.port.empty() && (!absl::SimpleAtoi(url.port, &port) || port <= 0);
  if (url.host.empty() || bad_port) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s is no address of an engine: ssh://USER@HOST or ssh://USER@HOST:PORT",
                        base::Quoted(host)));
  }
  io::SshTarget target;
  target.user = url.user;
  target.host = url.host;
  if (port != 0) target.options.push_back(absl::StrFormat("Port=%d", port));
  return target;
}

absl::StatusOr<EngineAccess> AccessTo(const DockerEngine& engine, std::string_view publish_address,
                                      bool by_network) {
  const std::string name = base::Quoted(engine.host);
  const bool ours = publish_address.empty() || IsLoopback(publish_address);
  EngineAccess access;
  if (IsLocalEngine(engine.host)) {
    if (ours) return access;
    return absl::FailedPreconditionError(absl::StrFormat(
        "publish-address %s is for an engine on another host, and %s is of this one, where "
        "services are published on loopback for the gateway alone. Leave it out",
        publish_address, name));
  }
  if (by_network) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "docker's engine is %s, on another host, and the server reaches services by the docker "
        "network (--reach network), which ends at its own. Start the server without --reach "
        "network, or point DOCKER_HOST at the engine of its own host",
        name));
  }
  const EngineUrl url = Split(engine.host);
  if (url.host.empty() || (url.scheme != "ssh" && url.scheme != "tcp" && url.scheme != "http" &&
                           url.scheme != "https")) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "docker's engine is %s, whose services cannot be reached from here. Use ssh://USER@HOST or "
        "tcp://HOST:PORT in DOCKER_HOST or in the context",
        name));
  }
  if (IsSshEngine(engine.host)) {
    RETURN_IF_ERROR(SshTargetOf(engine.host).status());
    if (ours) {
      access.tunnel = true;
      return access;
    }
  } else if (publish_address.empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "docker's engine is %s, and without ssh there is no tunnel to what it publishes. Use "
        "ssh://USER@HOST in DOCKER_HOST or the context, or say --publish-address 0.0.0.0 (or one "
        "address of that host): whoever reaches that address then reaches the service, which asks "
        "for no password",
        name));
  } else if (ours && !IsLoopback(url.host)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "publish-address %s is the loopback of the host of %s, which cannot be reached from here. "
        "Name an address that can, or 0.0.0.0",
        publish_address, name));
  }
  access.publish_address = publish_address;
  access.dial_host = IsWildcard(publish_address) ? url.host : std::string(publish_address);
  return access;
}

bool IsAddress(std::string_view text) {
  unsigned char bytes[sizeof(in6_addr)];
  const std::string address(text);
  return inet_pton(AF_INET, address.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, address.c_str(), bytes) == 1;
}

std::string Describe(const DockerEngine& engine) { return "engine " + base::Quoted(engine.host); }

absl::Status EngineError(const DockerEngine& engine, std::string_view what, int exit_code,
                         std::string_view words) {
  if (IsLocalEngine(engine.host)) return DockerError(what, exit_code, words);
  const std::string on = absl::StrFormat("on %s: %s", Describe(engine), what);
  // docker's own words around ssh's are of no use to anybody.
  constexpr std::string_view kOfSsh = "stderr=";
  const size_t dialled = words.find("docker system dial-stdio]");
  const size_t said = dialled == std::string_view::npos ? dialled : words.find(kOfSsh, dialled);
  if (said != std::string_view::npos) {
    const std::string_view err = words.substr(said + kOfSsh.size());
    const absl::StatusOr<io::SshTarget> target = SshTargetOf(engine.host);
    if (target.ok() && io::SshFailureOf(err) != io::SshFailure::kOther) {
      const absl::Status error =
          io::SshError(*target, base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(err))));
      return absl::Status(error.code(),
                          absl::StrFormat("%s: %s", on, base::ToStd(error.message())));
    }
  }
  return DockerError(on, exit_code, words);
}

std::map<std::string, std::string> LocalDockerState::ToMap(const std::string& job_id) const {
  std::map<std::string, std::string> map = {{"container", job_id}};
  const auto set = [&map](const char* name, const std::string& value) {
    if (!value.empty()) map.emplace(name, value);
  };
  set("engine", engine.host);
  set("context", engine.context);
  set("network", network);
  set("published", published);
  set("address", address);
  set("ip", ip);
  return map;
}

LocalDockerState ToLocalDockerState(const std::map<std::string, std::string>& driver_state) {
  const auto get = [&driver_state](const char* name) {
    const auto found = driver_state.find(name);
    return found == driver_state.end() ? std::string() : found->second;
  };
  return {.engine = {.host = get("engine"), .context = get("context")},
          .network = get("network"),
          .published = get("published"),
          .address = get("address"),
          .ip = get("ip")};
}

}  // namespace tao::platforms
