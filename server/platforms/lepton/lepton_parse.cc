#include "server/platforms/lepton/lepton_parse.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/base/closest_name.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using Json = nlohmann::json;

Json Parsed(std::string_view body) {
  return Json::parse(body, nullptr, /*allow_exceptions=*/false);
}

absl::Status Unreadable(const char* what, std::string_view body) {
  return absl::UnavailableError(absl::StrFormat(
      "Lepton described %s in a way that cannot be read: %s", what, base::Quoted(body, 300)));
}

const Json& Member(const Json& json, const char* name) {
  static const Json kNone;
  if (!json.is_object()) return kNone;
  const auto found = json.find(name);
  return found == json.end() ? kNone : *found;
}

std::string TextIn(const Json& json, const char* name) {
  const Json& value = Member(json, name);
  return value.is_string() ? value.get<std::string>() : "";
}

std::optional<double> NumberIn(const Json& json, const char* name) {
  const Json& value = Member(json, name);
  if (value.is_number()) return value.get<double>();
  double number = 0;
  if (value.is_string() && absl::SimpleAtod(value.get<std::string>(), &number)) return number;
  return std::nullopt;
}

std::optional<int> IntegerIn(const Json& json, const char* name) {
  const std::optional<double> number = NumberIn(json, name);
  if (!number.has_value() || *number < -1e9 || *number > 1e9) return std::nullopt;
  return static_cast<int>(*number);
}

// The objects of a list; Lepton also wraps one ({"items":[...]}), and says null for an empty one.
const Json& Items(const Json& json) {
  for (const char* const wrapper : {"items", "data"}) {
    if (Member(json, wrapper).is_array()) return Member(json, wrapper);
  }
  return json;
}
bool IsList(const Json& json) { return json.is_array() || json.is_null(); }

std::string IdOf(const Json& item) {
  const std::string id = TextIn(Member(item, "metadata"), "id");
  return id.empty() ? TextIn(Member(item, "metadata"), "name") : id;
}

std::vector<LeptonIssue> IssuesIn(const Json& list, const std::string& replica) {
  std::vector<LeptonIssue> issues;
  const auto add = [&](const Json& each) {
    const std::string reason = TextIn(each, "reason");
    if (reason.empty() || reason == "Ready") return;
    issues.push_back({.replica = replica, .reason = reason, .message = TextIn(each, "message")});
  };
  if (list.is_object()) add(list);
  if (list.is_array()) {
    for (const Json& each : list) add(each);
  }
  return issues;
}

}  // namespace

absl::StatusOr<LeptonWorkspaceFacts> ParseLeptonWorkspace(std::string_view body) {
  const Json json = Parsed(body);
  if (!json.is_object()) return Unreadable("the workspace", body);
  const Json& on = Member(Member(json, "features"), "enable_new_deployment_api");
  return LeptonWorkspaceFacts{.family = on.is_boolean() && on.get<bool>()
                                            ? LeptonFamily::kEndpoints
                                            : LeptonFamily::kDeployments,
                              .state = TextIn(json, "workspace_state")};
}

std::optional<absl::Time> LeptonTokenExpiry(std::string_view body, const base::Secret& token) {
  constexpr std::string_view kGap = "...";
  const Json json = Parsed(body);
  for (const Json& each : Items(json)) {
    const std::string masked = TextIn(each, "masked_value");
    const size_t gap = masked.find(kGap);
    if (gap == std::string::npos || masked.size() == kGap.size()) continue;
    const std::string& value = token.Reveal();
    if (!value.starts_with(masked.substr(0, gap)) ||
        !value.ends_with(masked.substr(gap + kGap.size()))) {
      continue;
    }
    const std::optional<double> expires = NumberIn(each, "expires_at");
    if (!expires.has_value() || *expires <= 0) return std::nullopt;
    return absl::FromUnixMillis(static_cast<int64_t>(std::min(*expires, 4e12)));
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<LeptonNodeGroup>> ParseLeptonNodeGroups(std::string_view body) {
  const Json json = Parsed(body);
  if (!IsList(Items(json))) return Unreadable("the node groups", body);
  std::vector<LeptonNodeGroup> groups;
  for (const Json& item : Items(json)) {
    LeptonNodeGroup group{
        .id = IdOf(item), .name = TextIn(Member(item, "metadata"), "name"), .volumes = {}};
    for (const Json& volume : Member(Member(item, "spec"), "volumes")) {
      if (std::string name = TextIn(volume, "name"); !name.empty()) group.volumes.push_back(name);
    }
    if (!group.id.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

absl::StatusOr<std::vector<LeptonShape>> ParseLeptonShapes(std::string_view body) {
  const Json json = Parsed(body);
  if (!IsList(Items(json))) return Unreadable("the resource shapes", body);
  std::vector<LeptonShape> shapes;
  for (const Json& item : Items(json)) {
    const Json& spec = Member(item, "spec");
    LeptonShape shape{.id = IdOf(item),
                      .accelerator_type = TextIn(spec, "accelerator_type"),
                      .accelerator_num = IntegerIn(spec, "accelerator_num").value_or(0),
                      .memory_mb = NumberIn(spec, "memory_in_mb").value_or(0)};
    const Json& listable = Member(spec, "listable_in");
    if (listable.is_array() && !listable.empty()) {
      shape.for_endpoints = std::any_of(listable.begin(), listable.end(), [](const Json& use) {
        return use == "deployment" || use == "endpoint";
      });
    }
    if (!shape.id.empty()) shapes.push_back(std::move(shape));
  }
  return shapes;
}

absl::StatusOr<std::vector<std::string>> ParseLeptonSecretNames(std::string_view body) {
  const Json json = Parsed(body);
  if (!IsList(Items(json))) return Unreadable("the secrets", body);
  std::vector<std::string> names;
  for (const Json& item : Items(json)) {
    std::string name = item.is_string() ? item.get<std::string>() : TextIn(item, "name");
    if (name.empty()) name = TextIn(Member(item, "metadata"), "name");
    if (name.empty()) name = IdOf(item);
    if (!name.empty()) names.push_back(std::move(name));
  }
  return names;
}

absl::StatusOr<LeptonEndpoint> ParseLeptonEndpoint(std::string_view body) {
  const Json json = Parsed(body);
  const Json& metadata = Member(json, "metadata");
  if (!metadata.is_object()) return Unreadable("the endpoint", body);
  const Json& status = Member(json, "status");
  const Json& spec = Member(json, "spec");
  LeptonEndpoint endpoint{
      .name = TextIn(metadata, "name"),
      .state = TextIn(status, "state"),
      .phase = TextIn(status, "phase"),
      .url = TextIn(Member(status, "endpoint"), "external_endpoint"),
      .min_replicas = IntegerIn(Member(spec, "resource_requirement"), "min_replicas"),
      .deleted = false};
  if (endpoint.name.empty()) endpoint.name = IdOf(json);
  if (endpoint.url.empty()) endpoint.url = TextIn(status, "external_url");
  const Json& components = Member(spec, "components");
  if (components.is_array() && !components.empty()) {
    endpoint.min_replicas = IntegerIn(components.front(), "min_replicas");
  }
  for (const Json* const where : {&metadata, &Member(metadata, "lepton_metadata")}) {
    const Json& at = Member(*where, "deleted_at");
    if (at.is_null() || at == 0 || at == "") continue;
    endpoint.deleted = true;
  }
  return endpoint;
}

std::vector<LeptonIssue> ParseLeptonReadiness(std::string_view body) {
  std::vector<LeptonIssue> issues;
  const Json json = Parsed(body);
  if (!json.is_object()) return issues;
  for (const auto& [replica, list] : json.items()) {
    for (LeptonIssue& issue : IssuesIn(list, replica)) issues.push_back(std::move(issue));
  }
  return issues;
}

absl::StatusOr<std::vector<LeptonReplica>> ParseLeptonReplicas(std::string_view body) {
  const Json json = Parsed(body);
  if (!IsList(Items(json))) return Unreadable("the replicas", body);
  std::vector<LeptonReplica> replicas;
  for (const Json& item : Items(json)) {
    LeptonReplica replica{.id = IdOf(item), .issue = {}};
    if (replica.id.empty()) continue;
    std::vector<LeptonIssue> issues =
        IssuesIn(Member(Member(item, "status"), "readiness_issue"), replica.id);
    if (!issues.empty()) replica.issue = std::move(issues.front());
    replicas.push_back(std::move(replica));
  }
  return replicas;
}

std::optional<LeptonTermination> ParseLeptonTermination(std::string_view body) {
  const Json json = Parsed(body);
  if (!json.is_object()) return std::nullopt;
  const Json* last = nullptr;
  double last_end = -1;
  for (const auto& [replica, list] : json.items()) {
    if (!list.is_array()) continue;
    for (const Json& each : list) {
      const double end = NumberIn(each, "finished_at").value_or(0);
      if (!each.is_object() || end < last_end) continue;
      last = &each;
      last_end = end;
    }
  }
  if (last == nullptr) return std::nullopt;
  LeptonTermination termination{.exit_code = IntegerIn(*last, "exit_code"), .text = ""};
  const std::string reason = TextIn(*last, "reason");
  const std::string message = base::Redact(TextIn(*last, "message").substr(0, 300));
  termination.text = termination.exit_code.has_value()
                         ? absl::StrFormat("exit status %d", *termination.exit_code)
                         : "the container ended";
  if (reason == "OOMKilled") {
    termination.text += ": out of memory (OOMKilled); choose a --resource-shape with more";
  } else if (termination.exit_code == 137) {
    termination.text += ": killed (SIGKILL), often for lack of memory; see its logs";
  } else if (!reason.empty()) {
    termination.text += ": " + reason;
  }
  if (!message.empty()) termination.text += ": " + message;
  return termination;
}

absl::StatusOr<std::vector<std::string>> ParseLeptonLogs(std::string_view body) {
  const Json json = Parsed(body);
  if (!json.is_object()) return Unreadable("the logs", body);
  struct Line {
    int64_t nanoseconds;
    std::string text;
  };
  std::vector<Line> lines;
  const Json& streams = Member(Member(json, "data"), "result");
  if (!streams.is_array()) return std::vector<std::string>();
  for (const Json& stream : streams) {
    const Json& values = Member(stream, "values");
    if (!values.is_array()) continue;
    for (const Json& value : values) {
      if (!value.is_array() || value.size() < 2 || !value[1].is_string()) continue;
      Line line{.nanoseconds = 0, .text = value[1].get<std::string>()};
      if (value[0].is_number_integer()) line.nanoseconds = value[0].get<int64_t>();
      if (value[0].is_string() &&
          !absl::SimpleAtoi(value[0].get<std::string>(), &line.nanoseconds)) {
        line.nanoseconds = 0;
      }
      lines.push_back(std::move(line));
    }
  }
  // Newest first, within each stream: turned round, and those of several put together.
  std::reverse(lines.begin(), lines.end());
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.nanoseconds < b.nanoseconds; });
  std::vector<std::string> texts;
  for (Line& line : lines) texts.push_back(std::move(line.text));
  return texts;
}

absl::StatusOr<LeptonUrl> ParseLeptonUrl(std::string_view url) {
  constexpr std::string_view kScheme = "https://";
  const absl::Status bad = absl::FailedPreconditionError(absl::StrFormat(
      "%s is not of the form https://HOST[:PORT][/PATH], and a token is sent nowhere else",
      base::Quoted(url)));
  if (!url.starts_with(kScheme)) return bad;
  std::string_view rest = url.substr(kScheme.size());
  LeptonUrl parsed;
  const size_t slash = std::min(rest.find('/'), rest.size());
  parsed.path = rest.substr(slash);
  while (parsed.path.ends_with('/')) parsed.path.pop_back();
  rest = rest.substr(0, slash);
  const size_t colon = rest.find(':');
  parsed.host = rest.substr(0, colon);
  if (colon != std::string_view::npos &&
      (!absl::SimpleAtoi(base::ToAbsl(rest.substr(colon + 1)), &parsed.port) || parsed.port < 1 ||
       parsed.port > 65535)) {
    return bad;
  }
  const auto is_graphic = [](char c) { return c > ' ' && c < 127 && c != '"' && c != '\\'; };
  const auto is_host = [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.'; };
  if (parsed.host.empty() || !std::all_of(parsed.host.begin(), parsed.host.end(), is_host) ||
      !std::all_of(parsed.path.begin(), parsed.path.end(), is_graphic) ||
      parsed.path.find_first_of("?#") != std::string::npos) {
    return bad;
  }
  return parsed;
}

}  // namespace tao::platforms
