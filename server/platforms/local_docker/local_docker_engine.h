#pragma once

// Which Docker engine a service is on, and how what it publishes is reached. Pure.
//
// The engine is decided at a service's launch and kept in its driver_state, and every later call
// names it: whoever points docker elsewhere meanwhile (DOCKER_HOST, docker context use) loses no
// service of this daemon.

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <compare>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "server/io/ssh.h"

namespace tao::platforms {

struct DockerEngine {
  std::string host;     // "unix:///var/run/docker.sock", "ssh://me@far", "tcp://far:2376"
  std::string context;  // has the certificates for `host`; empty: `host` alone is enough
  bool tls = false;     // only told where docker is asked anew; not kept
  friend bool operator==(const DockerEngine& a, const DockerEngine& b) {
    return a.host == b.host && a.context == b.context;
  }
  friend std::strong_ordering operator<=>(const DockerEngine& a, const DockerEngine& b) {
    return std::tie(a.host, a.context) <=> std::tie(b.host, b.context);
  }
};

// An engine of this host: a socket in its file system.
bool IsLocalEngine(std::string_view host);
bool IsSshEngine(std::string_view host);

// `docker context inspect`, of the context that is chosen now when `name` is empty; one line that
// ParseContext reads.
std::vector<std::string> RenderContextInspect(std::string_view name);
// The engine of the context. Only one with certificates is asked through it later: it can be
// changed and removed at any time, and a host cannot.
absl::StatusOr<DockerEngine> ParseContext(std::string_view output);

// What comes before each of docker's commands.
std::vector<std::string> EngineArguments(const DockerEngine& engine);
// Names of the environment that docker is not to see, because they are of another engine.
std::vector<std::string> EngineUnsetEnv(const DockerEngine& engine);

// How to get to the host of an engine of ssh://. InvalidArgument: it has no host.
absl::StatusOr<io::SshTarget> SshTargetOf(std::string_view host);

// How what a container publishes is reached from here.
struct EngineAccess {
  std::string publish_address = "127.0.0.1";
  bool tunnel = false;    // by ssh, from a port of this host
  std::string dial_host;  // directly, at this name or address; empty: not directly
  // Of this host: at the port that is published, and nothing is in between.
  bool local() const { return !tunnel && dial_host.empty(); }
};
// `publish_address` is the option of that name; `by_network`: --reach network. FailedPrecondition,
// with advice: so it cannot be reached.
absl::StatusOr<EngineAccess> AccessTo(const DockerEngine& engine, std::string_view publish_address,
                                      bool by_network);

// An IPv4 or IPv6 address, as publish-address takes it.
bool IsAddress(std::string_view text);

// "engine \"ssh://me@far\"", for people.
std::string Describe(const DockerEngine& engine);

// The error for a docker that ended with `exit_code` and `words`: ssh's own failures with ssh's
// advice, and the name of a remote engine in it (DockerError).
absl::Status EngineError(const DockerEngine& engine, std::string_view what, int exit_code,
                         std::string_view words);

// What driver_state keeps of a job. Without an engine: none was chosen yet, or the job is another
// tool's.
struct LocalDockerState {
  DockerEngine engine;
  std::string network;      // docker's
  std::string published;    // the address there that the port is published at; empty: loopback
  std::string address, ip;  // dialled directly, by name and number; empty: not directly

  std::map<std::string, std::string> ToMap(const std::string& job_id) const;
};
LocalDockerState ToLocalDockerState(const std::map<std::string, std::string>& driver_state);

}  // namespace tao::platforms
