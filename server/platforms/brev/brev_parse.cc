#include "server/platforms/brev/brev_parse.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/base/strings.h"
#include "server/platforms/docker/docker_parse.h"

namespace tao::platforms {
namespace {

using Json = nlohmann::json;
using State = PlatformState::State;

absl::Status Unreadable(std::string_view what, std::string_view output) {
  return absl::UnavailableError(absl::StrFormat(
      "%s printed something that cannot be read: %s. Is this the brev program of NVIDIA Brev, and "
      "is it up to date (brev --version)?",
      what, base::Quoted(output, 300)));
}

std::string TextIn(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

double NumberIn(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end()) return 0;
  if (found->is_number()) return found->get<double>();
  double value = 0;
  return found->is_string() && absl::SimpleAtod(found->get<std::string>(), &value) ? value : 0;
}

}  // namespace

absl::StatusOr<std::vector<BrevInstance>> ParseInstances(std::string_view output) {
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Unreadable("brev ls --json", output);
  const auto rows = json.find("workspaces");
  if (rows == json.end() || (!rows->is_null() && !rows->is_array())) {
    return Unreadable("brev ls --json", output);
  }
  std::vector<BrevInstance> instances;
  for (const Json& row : *rows) {  // null, which is what an empty list is, has no rows
    if (!row.is_object()) return Unreadable("brev ls --json", output);
    BrevInstance instance = {.name = TextIn(row, "name"),
                             .id = TextIn(row, "id"),
                             .status = TextIn(row, "status"),
                             .build_status = TextIn(row, "build_status"),
                             .shell_status = TextIn(row, "shell_status")};
    if (instance.name.empty() || instance.id.empty()) return Unreadable("brev ls --json", output);
    instances.push_back(std::move(instance));
  }
  return instances;
}

absl::StatusOr<std::optional<BrevInstance>> FindInstance(const std::vector<BrevInstance>& all,
                                                         std::string_view id_or_name) {
  std::vector<std::string> ids;
  std::optional<BrevInstance> named;
  for (const BrevInstance& instance : all) {
    if (instance.id == id_or_name) return std::optional<BrevInstance>(instance);
    if (instance.name != id_or_name) continue;
    ids.push_back(instance.id);
    named = instance;
  }
  if (ids.size() <= 1) return named;
  return absl::FailedPreconditionError(
      absl::StrFormat("%d brev instances are called %s; name the one you mean by its id: %s",
                      ids.size(), base::Quoted(id_or_name), base::JoinedList(ids)));
}

InstanceUse UseOf(const BrevInstance& instance) {
  const std::string& status = instance.status;
  if (status == "DELETING") return InstanceUse::kDeleting;
  if (status == "FAILURE" || instance.build_status == "CREATE_FAILED") return InstanceUse::kFailed;
  if (status == "DEPLOYING" || status == "STARTING") return InstanceUse::kComing;
  if (status == "STOPPING" || status == "STOPPED") return InstanceUse::kStopped;
  // What is UNHEALTHY is never "READY", and is asked all the same.
  if (status == "UNHEALTHY") return InstanceUse::kUsable;
  if (status == "RUNNING") {
    return instance.shell_status == "NOT READY" ? InstanceUse::kComing : InstanceUse::kUsable;
  }
  return InstanceUse::kUnknown;
}

std::string Describe(const BrevInstance& instance) {
  if (instance.build_status.empty() || instance.build_status == "COMPLETED") return instance.status;
  return absl::StrFormat("%s (build %s)", instance.status, instance.build_status);
}

absl::StatusOr<std::optional<PlatformState>> StateOnInstance(const BrevInstance& instance) {
  const std::string name = absl::StrFormat("instance %s", base::Quoted(instance.name));
  const auto state = [](State value, std::string detail) {
    return std::optional<PlatformState>(
        {.state = value, .detail = std::move(detail), .exit_code = {}});
  };
  switch (UseOf(instance)) {
    case InstanceUse::kUsable:
      return std::optional<PlatformState>();
    case InstanceUse::kComing:
      return state(State::kPending, absl::StrFormat("%s is %s", name, Describe(instance)));
    case InstanceUse::kFailed:
      return state(State::kFailed, absl::StrFormat("%s could not be made: %s; see brev ls and the "
                                                   "console",
                                                   name, Describe(instance)));
    case InstanceUse::kStopped:
      return state(
          State::kFailed,
          absl::StrFormat("%s was stopped outside the service (%s), and its container does "
                          "not start again by itself; brev start %s starts the instance",
                          name, instance.status, instance.name));
    case InstanceUse::kDeleting:
      return state(State::kGone, absl::StrFormat("%s is being deleted", name));
    case InstanceUse::kUnknown:
      break;
  }
  return absl::UnavailableError(
      absl::StrFormat("brev says that %s is %s, which this server does not know; see brev ls", name,
                      base::Quoted(instance.status)));
}

absl::StatusOr<std::vector<BrevType>> ParseTypes(std::string_view output) {
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return Unreadable("brev search --json", output);
  std::vector<BrevType> types;
  for (const Json& row : json) {
    if (!row.is_object() || TextIn(row, "type").empty()) {
      return Unreadable("brev search --json", output);
    }
    types.push_back({.type = TextIn(row, "type"),
                     .gpu_name = TextIn(row, "gpu_name"),
                     .gpu_count = static_cast<int>(NumberIn(row, "gpu_count")),
                     .price_per_hour = NumberIn(row, "price_per_hour")});
  }
  return types;
}

absl::StatusOr<std::vector<std::string>> ChooseTypes(std::vector<BrevType> types, int gpu_count,
                                                     size_t most) {
  std::erase_if(types, [gpu_count](const BrevType& type) { return type.gpu_count < gpu_count; });
  if (types.empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "brev offers no instance type with %d GPUs now. See brev search, and ask for fewer GPUs "
        "(--gpu-count), name a type (--instance-type) or an instance that there is (--instance-id)",
        gpu_count));
  }
  std::stable_sort(types.begin(), types.end(), [](const BrevType& a, const BrevType& b) {
    return std::pair(a.gpu_count, a.price_per_hour) < std::pair(b.gpu_count, b.price_per_hour);
  });
  std::vector<std::string> chosen;
  for (const BrevType& type : types) {
    if (type.gpu_count != types.front().gpu_count || chosen.size() == most) break;
    // Several providers may offer one type.
    if (std::find(chosen.begin(), chosen.end(), type.type) == chosen.end()) {
      chosen.push_back(type.type);
    }
  }
  return chosen;
}

std::set<std::string> ParseFlags(std::string_view help) {
  std::set<std::string> flags;
  for (const absl::string_view word :
       absl::StrSplit(base::ToAbsl(help), absl::ByAnyChar(" \t\r\n,=[]|\"'`"))) {
    if (word.size() > 2 && absl::StartsWith(word, "--")) flags.emplace(word);
  }
  return flags;
}

std::optional<SshAlias> ParseSshAlias(std::string_view output, std::string_view alias) {
  SshAlias found;
  for (const absl::string_view line : absl::StrSplit(base::ToAbsl(output), '\n')) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(absl::StripAsciiWhitespace(line), absl::MaxSplits(' ', 1));
    if (field.first == "hostname") found.hostname = std::string(field.second);
    if (field.first == "proxycommand") found.proxied = field.second != "none";
  }
  if (found.proxied) return SshAlias{.hostname = "", .proxied = true};
  // ssh takes a name that its configuration does not know for the address itself.
  if (found.hostname.empty() || found.hostname == base::AsciiLower(alias)) return std::nullopt;
  return found;
}

}  // namespace tao::platforms
