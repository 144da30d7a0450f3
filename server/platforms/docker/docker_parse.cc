#include "server/platforms/docker/docker_parse.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "server/base/strings.h"
#include "server/platforms/docker/docker_render.h"

namespace tao::platforms {
namespace {

using Json = nlohmann::json;
using State = PlatformState::State;

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
            .detail = "could not be started: " + DockerWords(facts.error),
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

absl::StatusOr<bool> ParseHasNvidiaRuntime(std::string_view output) {
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Unreadable("list of runtimes", output);
  return json.contains("nvidia");
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
