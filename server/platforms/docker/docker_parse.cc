#include "server/platforms/docker/docker_parse.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/docker/docker_render.h"

namespace tao::platforms {
namespace {

using Json = nlohmann::json;
using State = PlatformState::State;

constexpr size_t kMaxWords = 600;  // of docker, in one of our errors

absl::Status Unreadable(const char* what, std::string_view text) {
  return absl::UnavailableError(
      absl::StrFormat("docker described a %s in a way that cannot be "
                      "read: %s. Check docker's version: docker version",
                      what, base::Quoted(text, 300)));
}

std::string TextIn(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

std::map<std::string, std::string> LabelsIn(const Json& json) {
  std::map<std::string, std::string> labels;
  const auto found = json.find("labels");  // null when there are none
  if (found == json.end() || !found->is_object()) return labels;
  for (const auto& [name, value] : found->items()) {
    if (value.is_string()) labels.emplace(name, value.get<std::string>());
  }
  return labels;
}

// Of {"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"8081"}]}; 0 when it is not published.
int HostPortIn(const Json& json) {
  const auto ports = json.find("ports");
  if (ports == json.end() || !ports->is_object()) return 0;
  const auto bindings = ports->find(std::to_string(kContainerPort) + "/tcp");
  if (bindings == ports->end() || !bindings->is_array() || bindings->empty()) return 0;
  const Json& first = bindings->front();
  int port = 0;
  if (!first.is_object() || !absl::SimpleAtoi(TextIn(first, "HostPort"), &port)) return 0;
  return port > 0 && port <= 65535 ? port : 0;
}

std::string DescribeExit(const ContainerFacts& facts) {
  const std::string status = absl::StrFormat("exit status %d", facts.exit_code);
  if (facts.oom_killed) return status + ": out of memory (OOMKilled)";
  if (facts.exit_code == 137) {
    return status + ": killed (SIGKILL), often for lack of memory; see its logs and dmesg";
  }
  if (facts.exit_code == 143) return status + ": ended by SIGTERM";
  if (facts.exit_code == 126) return status + ": its program could not be executed; see its logs";
  if (facts.exit_code == 127) return status + ": its program is not in the image; see its logs";
  return status;
}

// The words of docker on one line, without its hints about --help.
std::string OneLine(std::string_view words) {
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

const DockerFailureRule* RuleFor(std::string_view words) {
  const std::string lower = base::AsciiLower(words);
  for (const DockerFailureRule& rule : DockerFailureRules()) {
    if (lower.find(rule.text) != std::string::npos) return &rule;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::vector<ContainerFacts>> ParseContainers(std::string_view output) {
  std::vector<ContainerFacts> containers;
  for (absl::string_view line : absl::StrSplit(base::ToAbsl(output), '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line == "[]") continue;  // what older versions print for a missing one
    const Json json = Json::parse(base::ToStd(line), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return Unreadable("container", base::ToStd(line));
    ContainerFacts facts = {.name = TextIn(json, "name"),
                            .status = TextIn(json, "status"),
                            .exit_code = 0,
                            .oom_killed = false,
                            .error = TextIn(json, "error"),
                            .labels = LabelsIn(json),
                            .host_port = HostPortIn(json)};
    if (facts.name.starts_with('/')) facts.name.erase(0, 1);
    if (facts.name.empty() || facts.status.empty()) {
      return Unreadable("container", base::ToStd(line));
    }
    const auto code = json.find("exit_code"), oom = json.find("oom_killed");
    if (code != json.end() && code->is_number_integer()) facts.exit_code = code->get<int>();
    if (oom != json.end() && oom->is_boolean()) facts.oom_killed = oom->get<bool>();
    containers.push_back(std::move(facts));
  }
  return containers;
}

PlatformState ToPlatformState(const ContainerFacts& facts) {
  const std::string& status = facts.status;
  if (status == "running") return {.state = State::kRunning, .detail = "", .exit_code = {}};
  if (status == "paused") {
    return {.state = State::kRunning,
            .detail = "paused (docker unpause lets it go on)",
            .exit_code = {}};
  }
  if (status == "created" && !facts.error.empty()) {
    return {.state = State::kFailed,
            .detail = "could not be started: " + OneLine(facts.error),
            .exit_code = facts.exit_code};
  }
  if (status == "exited" && facts.exit_code == 0 && !facts.oom_killed) {
    return {.state = State::kExited, .detail = "exit status 0", .exit_code = 0};
  }
  if (status == "exited") {
    return {.state = State::kFailed, .detail = DescribeExit(facts), .exit_code = facts.exit_code};
  }
  if (status == "dead") {
    return {.state = State::kFailed,
            .detail = "dead: the engine could not remove it whole",
            .exit_code = facts.exit_code};
  }
  return {.state = State::kPending, .detail = status, .exit_code = {}};  // created, restarting
}

absl::StatusOr<NetworkFacts> ParseNetwork(std::string_view output) {
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Unreadable("network", output);
  const auto endpoints = json.find("endpoints");
  if (endpoints == json.end() || !endpoints->is_number_integer()) {
    return Unreadable("network", output);
  }
  const std::map<std::string, std::string> labels = LabelsIn(json);
  const auto daemon = labels.find(std::string(kDaemonLabel));
  return NetworkFacts{.daemon_id = daemon == labels.end() ? "" : daemon->second,
                      .endpoints = endpoints->get<int>()};
}

std::vector<std::string> ParseNetworkIds(std::string_view output, std::string_view name) {
  std::vector<std::string> ids;
  for (absl::string_view line : absl::StrSplit(base::ToAbsl(output), '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    if (words.size() == 2 && words[1] == name) ids.push_back(words[0]);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::set<std::string> ParseTakenGpus(std::string_view output) {
  std::set<std::string> taken;
  for (const absl::string_view id :
       absl::StrSplit(base::ToAbsl(output), absl::ByAnyChar(", \r\n"), absl::SkipEmpty())) {
    taken.emplace(id);
  }
  return taken;
}

absl::Status CheckDockerVersion(std::string_view output) {
  int major = 0, minor = 0;
  if (std::sscanf(std::string(output).c_str(), "Docker version %d.%d", &major, &minor) != 2) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "docker --version printed %s where \"Docker version 20.10\" or newer was expected. Put "
        "Docker's own program first in the server's PATH (Debian: apt-get install docker.io)",
        base::Quoted(base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(output))))));
  }
  if (major > 20 || (major == 20 && minor >= 10)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("docker is version %d.%d, and 20.10 or newer is needed. Upgrade it (Debian: "
                      "apt-get install docker.io)",
                      major, minor));
}

bool IsLocalEngine(std::string_view host) {
  return host.empty() || host.starts_with("unix://") || host.starts_with('/');
}

const std::vector<DockerFailureRule>& DockerFailureRules() {
  using Code = absl::StatusCode;
  using Kind = DockerFailure;
  constexpr Code kPrecondition = Code::kFailedPrecondition;
  constexpr std::string_view kDaemonDown =
      "The Docker engine does not answer: start it (systemctl start docker), or correct "
      "DOCKER_HOST";
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
       "Add the server's user to the group docker (usermod -aG docker USER, then log in again), or "
       "run it as root"},
      {"cannot connect to the docker daemon at", Kind::kOther, Code::kUnavailable, kDaemonDown},
      {"failed to connect to the docker api at", Kind::kOther, Code::kUnavailable, kDaemonDown},
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
       "Create the folder on this host, or correct --mount and --hf-cache"},
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
      {"received unexpected http status: 5", Kind::kOther, Code::kUnavailable,
       "The registry itself is in trouble: try again later"},
      {"no such host", Kind::kOther, Code::kUnavailable,
       "The registry's name is not known: check the image's name, DNS and docker's proxy settings"},
  };
  return *rules;
}

DockerFailure FailureOf(std::string_view words) {
  const std::string lower = base::AsciiLower(words);
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
      absl::StrFormat("%s: %s (exit code %d of docker)", what, OneLine(words), exit_code);
  if (rule == nullptr) return absl::FailedPreconditionError(text);
  return absl::Status(rule->code,
                      rule->advice.empty() ? text : absl::StrFormat("%s. %s", text, rule->advice));
}

bool PullProgress::OnLine(std::string_view line) {
  // "a3ed95caeb02: Pull complete"; other lines have a tag or a word before the colon.
  constexpr size_t kIdSize = 12;
  if (line.size() < kIdSize + 2 || line.substr(kIdSize, 2) != ": ") return false;
  const std::string_view id = line.substr(0, kIdSize), word = line.substr(kIdSize + 2);
  if (id.find_first_not_of("0123456789abcdef") != std::string_view::npos) return false;
  if (word.starts_with("Pulling from")) return false;  // a tag that looks like an id
  bool changed = layers_.emplace(id).second;
  if (word == "Pull complete" || word == "Already exists") {
    changed = done_.emplace(id).second || changed;
  }
  return changed;
}

registry::Progress PullProgress::progress() const {
  const std::string image = image_;
  if (layers_.empty()) return {.stage = "pulling_image", .message = "pulling " + image};
  return {.stage = "pulling_image",
          .message =
              absl::StrFormat("pulling %s: %d of %d layers", image, done_.size(), layers_.size())};
}

}  // namespace tao::platforms
