// The table of docker's failures, and the errors that are made from it (docker_parse.h).

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/docker/docker_parse.h"

namespace tao::platforms {
namespace {

constexpr size_t kMaxWords = 600;  // of docker, in one of our errors

const DockerFailureRule* RuleFor(std::string_view words) {
  const std::string lower = base::AsciiLower(words);
  for (const DockerFailureRule& rule : DockerFailureRules()) {
    if (lower.find(rule.text) != std::string::npos) return &rule;
  }
  return nullptr;
}

}  // namespace

std::string DockerWords(std::string_view words) {
  std::string line;
  for (absl::string_view part : absl::StrSplit(base::ToAbsl(words), '\n')) {
    part = absl::StripAsciiWhitespace(part);
    if (part.empty() || absl::EndsWith(part, "--help'.") ||
        absl::EndsWith(part, "--help' for more information")) {
      continue;
    }
    absl::ConsumePrefix(&part, "docker: ");
    if (!line.empty()) line += "; ";
    line += base::ToStd(part);
  }
  while (!line.empty() && line.back() == '.') line.pop_back();
  line = base::Redact(std::move(line));
  if (line.size() > kMaxWords) line = line.substr(0, kMaxWords) + "...";
  return line.empty() ? "it said nothing" : line;
}

const std::vector<DockerFailureRule>& DockerFailureRules() {
  using Code = absl::StatusCode;
  using Kind = DockerFailure;
  constexpr Code kPrecondition = Code::kFailedPrecondition;
  constexpr std::string_view kDaemonDown =
      "The Docker engine does not answer: start it (systemctl start docker), or correct "
      "DOCKER_HOST";
  constexpr std::string_view kNoRemoteDocker =
      "The engine's host runs no docker for ssh: install it there (Debian: apt-get install "
      "docker.io), in the PATH of a shell that is not for logging in";
  constexpr std::string_view kNoContext =
      "Docker's context is not there: see docker context ls, and make it again under its name "
      "(docker context create) if services were started by it";
  constexpr std::string_view kNoTls =
      "The engine wants TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or use a context with "
      "certificates (docker context create)";
  constexpr std::string_view kToolkit =
      "Install the NVIDIA Container Toolkit, run nvidia-ctk runtime configure --runtime=docker, "
      "and "
      "restart docker";
  constexpr std::string_view kDriver =
      "The NVIDIA driver is not loaded, or its CDI specification is missing: check nvidia-smi, "
      "then "
      "run nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml";
  constexpr std::string_view kLogin =
      "The registry refused: log in on this host as the user of the server (docker login nvcr.io, "
      "user name $oauthtoken, the NGC key as password), and check that the key's organisation may "
      "pull it";
  constexpr std::string_view kNoAnswer =
      "The registry does not answer: check the image's name, the network and docker's proxy "
      "settings";
  constexpr std::string_view kPort = "Another program has the host port; free it, or start again";
  // The first row that fits wins: what names one cause stands before what may have many.
  static const auto* const rules = new std::vector<DockerFailureRule>{
      {"permission denied while trying to connect to the docker", Kind::kOther, kPrecondition,
       "Add the server's user, or the one of ssh://, to the group docker of that host (usermod -aG "
       "docker USER, then log in again), or run it as root"},
      {"cannot connect to the docker daemon at", Kind::kOther, Code::kUnavailable, kDaemonDown},
      {"failed to connect to the docker api at", Kind::kOther, Code::kUnavailable, kDaemonDown},
      {"docker: not found", Kind::kOther, kPrecondition, kNoRemoteDocker},
      {"docker: command not found", Kind::kOther, kPrecondition, kNoRemoteDocker},
      {"exec: \"ssh\": executable file not found", Kind::kOther, kPrecondition,
       "Install ssh, by which the engine is reached (Debian: apt-get install openssh-client)"},
      {"unable to resolve docker endpoint", Kind::kOther, kPrecondition, kNoContext},
      {": context not found", Kind::kOther, kPrecondition, kNoContext},
      {"client sent an http request to an https server", Kind::kOther, kPrecondition, kNoTls},
      {"server gave http response to https client", Kind::kOther, kPrecondition,
       "The engine or registry has no TLS at this address: check DOCKER_HOST, DOCKER_TLS_VERIFY "
       "and the port (2375 without TLS, 2376 with it), or the image's name"},
      {"error during connect", Kind::kOther, Code::kUnavailable,
       "The Docker engine cannot be reached: check DOCKER_HOST or the context (docker context ls), "
       "that its host is up, and the certificates of an engine with TLS"},
      {"is too new. maximum supported api version", Kind::kOther, kPrecondition,
       "Docker's program and engine disagree: unset DOCKER_API_VERSION, or upgrade the engine"},
      {"is too old. minimum supported api version", Kind::kOther, kPrecondition,
       "Docker's program and engine disagree: unset DOCKER_API_VERSION, or upgrade the program"},
      {"is already in progress", Kind::kRemovalInProgress, Code::kUnavailable,
       "The engine is removing it; try again in a moment"},
      {"no such container", Kind::kNoContainer, Code::kNotFound, ""},
      {"no such object", Kind::kNoContainer, Code::kNotFound, ""},
      {"conflict. the container name", Kind::kNameTaken, Code::kAlreadyExists,
       "See what it is with docker ps -a, and remove or rename it"},
      {"port is already allocated", Kind::kPortTaken, Code::kResourceExhausted, kPort},
      {"bind: address already in use", Kind::kPortTaken, Code::kResourceExhausted, kPort},
      {"/tcp: address already in use", Kind::kPortTaken, Code::kResourceExhausted, kPort},
      {"ports are not available", Kind::kPortTaken, Code::kResourceExhausted, kPort},
      {"is ambiguous", Kind::kNetworkAmbiguous, kPrecondition,
       "Several docker networks have this name, and containers use more than one of them: remove "
       "those that should not be there (docker network ls, docker network rm ID)"},
      {"has active endpoints", Kind::kNetworkInUse, kPrecondition,
       "Other containers still use the network"},
      {"could not find an available, non-overlapping ipv4 address pool", Kind::kOther,
       Code::kResourceExhausted, "Remove networks that nobody uses (docker network prune)"},
      {"could not select device driver", Kind::kOther, kPrecondition, kToolkit},
      {"unknown or invalid runtime name: nvidia", Kind::kOther, kPrecondition, kToolkit},
      {"unknown device", Kind::kOther, kPrecondition,
       "There is no such GPU: nvidia-smi -L lists those there are"},
      {"nvidia-container-cli: initialization error", Kind::kOther, kPrecondition, kDriver},
      {"no cdi device driver registered", Kind::kOther, kPrecondition, kDriver},
      {"unresolvable cdi devices", Kind::kOther, kPrecondition, kDriver},
      {"cannot set both count and deviceids", Kind::kOther, Code::kInternal,
       "This is a fault of the server: please report it"},
      {"toomanyrequests", Kind::kOther, Code::kResourceExhausted,
       "The registry limits how often it may be asked: wait, or log in to it (docker login)"},
      {"no space left on device", Kind::kOther, Code::kResourceExhausted,
       "The disk of docker's data folder is full (docker system df shows what takes the room); "
       "nothing was removed for you"},
      {"no matching manifest for", Kind::kOther, kPrecondition,
       "The image is not made for this host's processor: choose another one with IMAGE_<KEY>"},
      {"manifest unknown", Kind::kOther, Code::kNotFound,
       "The image has no such tag: correct it with IMAGE_<KEY>"},
      {"not found: manifest", Kind::kOther, Code::kNotFound,
       "The image has no such tag: correct it with IMAGE_<KEY>"},
      {"not found: name unknown", Kind::kOther, Code::kNotFound,
       "The registry has no such repository: correct the image with IMAGE_<KEY>"},
      // After the colon the registry's words, unless its answer had none (to HEAD none can have).
      {"pull access denied", Kind::kOther, Code::kPermissionDenied, kLogin},
      {"daemon: unauthorized", Kind::kOther, Code::kPermissionDenied, kLogin},
      {"unauthorized: authentication required", Kind::kOther, Code::kPermissionDenied, kLogin},
      {"no basic auth credentials", Kind::kOther, Code::kPermissionDenied, kLogin},
      {"daemon: denied", Kind::kOther, Code::kPermissionDenied, kLogin},
      {"denied: ", Kind::kOther, Code::kPermissionDenied, kLogin},
      {"invalid reference format", Kind::kOther, kPrecondition,
       "This is no image reference: correct it with IMAGE_<KEY>"},
      {"no such image", Kind::kNoImage, Code::kNotFound, ""},
      {"no such network", Kind::kNoNetwork, Code::kNotFound,
       "Create it (docker network create), or name another one in DOCKER_NETWORK"},
      {"bind source path does not exist", Kind::kOther, kPrecondition,
       "Create the folder on the engine's host, or correct --mount and --hf-cache"},
      {"exec: \"/bin/bash\"", Kind::kOther, kPrecondition,
       "The image has no /bin/bash, so it is none of a TAO service: choose another one with "
       "IMAGE_<KEY>"},
      {"getpwuid(): uid not found", Kind::kOther, kPrecondition,
       "The container's user has no name: set USER, LOGNAME and HOME"},
      {"configured logging driver does not support reading", Kind::kOther, Code::kNotFound,
       "Docker's log driver keeps no log here: use json-file or local in /etc/docker/daemon.json"},
      {"tls handshake timeout", Kind::kOther, Code::kUnavailable, kNoAnswer},
      {"connect: connection refused", Kind::kOther, Code::kUnavailable, kNoAnswer},
      {"i/o timeout", Kind::kOther, Code::kUnavailable, kNoAnswer},
      {"network is unreachable", Kind::kOther, Code::kUnavailable, kNoAnswer},
      {"no route to host", Kind::kOther, Code::kUnavailable, kNoAnswer},
      {"received unexpected http status: 5", Kind::kOther, Code::kUnavailable,
       "The registry itself is in trouble: try again later"},
      {"no such host", Kind::kOther, Code::kUnavailable,
       "The registry's name is not known: check the image's name, DNS and docker's proxy settings"},
  };
  return *rules;
}

DockerFailure FailureOf(std::string_view words) {
  const std::string lower = base::AsciiLower(words);
  // The engine was not asked, whatever else stands there.
  if (lower.find("error during connect") != std::string::npos) return DockerFailure::kOther;
  // "network NAME not found" and "network with name NAME already exists": NAME is anybody's.
  const size_t network = lower.find("network ");
  if (network != std::string::npos) {
    const std::string_view rest = std::string_view(lower).substr(network);
    if (rest.find(" is ambiguous") != std::string_view::npos) {
      return DockerFailure::kNetworkAmbiguous;
    }
    if (rest.find(" not found") != std::string_view::npos) return DockerFailure::kNoNetwork;
    if (rest.find(" already exists") != std::string_view::npos) {
      return DockerFailure::kNetworkExists;
    }
  }
  const DockerFailureRule* const rule = RuleFor(words);
  return rule == nullptr ? DockerFailure::kOther : rule->kind;
}

absl::Status DockerError(std::string_view what, int exit_code, std::string_view words) {
  const DockerFailureRule* const rule =
      FailureOf(words) == DockerFailure::kNoNetwork ? RuleFor("no such network") : RuleFor(words);
  const std::string text =
      absl::StrFormat("%s: %s (exit code %d of docker)", what, DockerWords(words), exit_code);
  if (rule == nullptr) return absl::FailedPreconditionError(text);
  return absl::Status(rule->code,
                      rule->advice.empty() ? text : absl::StrFormat("%s. %s", text, rule->advice));
}

}  // namespace tao::platforms
