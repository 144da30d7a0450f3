#include "server/platforms/lepton/lepton_render.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using Json = nlohmann::ordered_json;

// The default, 300 s, ends a long video request in the middle.
constexpr int kIngressTimeoutSeconds = 1800;
constexpr size_t kSecretSuffixDigits = 12;

std::string Text(const Json& json) {
  // The launch plan is valid UTF-8; a value of the environment need not be.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string HexDigits(std::string_view job_id, size_t count) {
  std::string digits(job_id);
  digits.erase(std::remove(digits.begin(), digits.end(), '-'), digits.end());
  return digits.substr(0, count);
}

// For a query (RFC 3986, section 2.3).
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || std::string_view("-._~").find(c) != std::string_view::npos) {
      escaped += c;
    } else {
      escaped += absl::StrFormat("%%%02X", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

Json Envs(const launch::LaunchPlan& plan, const LeptonEndpointPlan& endpoint) {
  Json envs = Json::array();
  for (const auto& [name, value] : plan.env) envs.push_back({{"name", name}, {"value", value}});
  for (const auto& [name, secret] : endpoint.secret_env) {
    envs.push_back({{"name", name}, {"value_from", {{"secret_name_ref", secret}}}});
  }
  return envs;
}

// What both families say of where and how many: beside the container in the legacy one, in the
// component in the new one.
void AddResources(const launch::LaunchPlan& plan, const LeptonEndpointPlan& endpoint, Json& json) {
  json["resource_shape"] = endpoint.resource_shape;
  json["min_replicas"] = 1;
  json["max_replicas"] = 1;
  json["shared_memory_size"] = MebibytesOf(plan.shm_size);
  if (!endpoint.node_group_ids.empty()) {
    json["affinity"] = {{"allowed_dedicated_node_groups", endpoint.node_group_ids}};
  }
}

void AddMounts(const launch::LaunchPlan& plan, const LeptonEndpointPlan& endpoint, Json& json) {
  if (plan.mounts.empty()) return;
  Json mounts = Json::array();
  for (const launch::Mount& mount : plan.mounts) {
    mounts.push_back(
        {{"path", mount.source}, {"from", endpoint.mount_from}, {"mount_path", mount.destination}});
  }
  json["mounts"] = std::move(mounts);
}

// What the endpoint as a whole has in both families.
void AddAccess(const LeptonEndpointPlan& endpoint, Json& spec) {
  if (!endpoint.image_pull_secret.empty()) {
    spec["image_pull_secrets"] = Json::array({endpoint.image_pull_secret});
  }
  spec["api_tokens"] = Json::array({{{"value", endpoint.token.Reveal()}}});
  spec["ingress_timeout_seconds"] = kIngressTimeoutSeconds;
  spec["log"] = {{"enable_collection", true}, {"save_termination_logs", true}};
}

// Lepton's own default, one hour without traffic, is for ever: at zero, no request wakes it.
Json NeverScaledDown() { return {{"scale_down", {{"no_traffic_timeout", 0}}}}; }

}  // namespace

std::string_view ToString(LeptonFamily family) {
  return family == LeptonFamily::kEndpoints ? "endpoints" : "deployments";
}

std::string_view LogQueryKey(LeptonFamily family) {
  return family == LeptonFamily::kEndpoints ? "endpoint" : "deployment";
}

std::string LeptonName(std::string_view job_id) { return "tao-" + HexDigits(job_id, 28); }

bool IsLeptonName(std::string_view name) {
  const auto is_part = [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  };
  return !name.empty() && name.size() <= 63 && absl::ascii_islower(name.front()) &&
         name.back() != '-' && std::all_of(name.begin(), name.end(), is_part);
}

std::string LeptonSecretSuffix(std::string_view job_id) {
  return "_" + absl::AsciiStrToUpper(HexDigits(job_id, kSecretSuffixDigits));
}

std::string LeptonSecretName(std::string_view env_name, std::string_view job_id) {
  // Names that begin with LEPTON_ are Lepton's own.
  return absl::StrFormat("TAO_%s%s", env_name, LeptonSecretSuffix(job_id));
}

bool IsReservedLeptonEnv(std::string_view name) {
  return name == "LEPTON_WORKSPACE_ID" || name == "LEPTON_DEPLOYMENT_NAME" ||
         name == "LEPTON_RESOURCE_ACCELERATOR_TYPE" || name == "LEPTON_WORKSPACE_ORIGIN_URL";
}

int64_t MebibytesOf(std::string_view size) {
  const size_t digits = std::min(size.find_first_not_of("0123456789"), size.size());
  int64_t number = 0;
  if (!absl::SimpleAtoi(base::ToAbsl(size.substr(0, digits)), &number)) return 1;
  switch (digits < size.size() ? absl::ascii_tolower(size[digits]) : 'b') {
    case 'g':
      return std::max<int64_t>(number * 1024, 1);
    case 'm':
      return std::max<int64_t>(number, 1);
    case 'k':
      return std::max<int64_t>(number / 1024, 1);
    default:
      return std::max<int64_t>(number / (1024 * 1024), 1);
  }
}

std::string LeptonPath(LeptonFamily family, std::string_view name, std::string_view rest) {
  return absl::StrFormat("/%s/%s%s%s", ToString(family), name, rest.empty() ? "" : "/", rest);
}

std::string LeptonShapesPath(const std::vector<std::string>& node_group_ids) {
  std::string path = "/shapes?";
  for (const std::string& id : node_group_ids) path += "node_groups=" + Escaped(id) + "&";
  return path + "purpose=deployment";
}

std::string RenderLeptonEndpoint(const launch::LaunchPlan& plan, const LeptonEndpointPlan& endpoint,
                                 LeptonFamily family) {
  const Json command =
      Json::array({"/bin/bash", "-c", plan.inner_command.Render(kLeptonContainerPort)});
  // Always given: Lepton's default is 40000, and the new family makes no ingress without a port.
  const Json ports = Json::array({{{"container_port", kLeptonContainerPort}, {"protocol", "TCP"}}});
  Json spec;
  if (family == LeptonFamily::kDeployments) {
    spec["container"] = {{"image", plan.image}, {"command", command}, {"ports", ports}};
    spec["resource_requirement"] = Json::object();
    AddResources(plan, endpoint, spec["resource_requirement"]);
    spec["envs"] = Envs(plan, endpoint);
    AddMounts(plan, endpoint, spec);
    spec["auto_scaler"] = NeverScaledDown();
    AddAccess(endpoint, spec);
    return Text(
        {{"metadata", {{"id", endpoint.name}, {"name", endpoint.name}, {"visibility", "private"}}},
         {"spec", std::move(spec)}});
  }
  Json component = {{"name", "default"},
                    {"image", plan.image},
                    {"command", command},
                    {"ports", ports},
                    {"envs", Envs(plan, endpoint)}};
  AddResources(plan, endpoint, component);
  AddMounts(plan, endpoint, component);
  component["autoscaling"] = NeverScaledDown();
  spec["components"] = Json::array({std::move(component)});
  AddAccess(endpoint, spec);
  return Text(
      {{"metadata", {{"name", endpoint.name}, {"lepton_metadata", {{"visibility", "private"}}}}},
       {"spec", std::move(spec)}});
}

std::string RenderLeptonUserSecrets(
    const std::vector<std::pair<std::string, base::Secret>>& secrets) {
  Json list = Json::array();
  for (const auto& [name, value] : secrets) {
    list.push_back({{"name", name}, {"value", value.Reveal()}, {"visibility", "private"}});
  }
  return Text(list);
}

std::string RenderLeptonImagePullSecret(std::string_view name, const base::Secret& ngc_key) {
  return Text({{"metadata", {{"name", name}, {"id", name}}},
               {"spec",
                {{"registry_server", "https://nvcr.io"},
                 {"username", "$oauthtoken"},
                 {"password", ngc_key.Reveal()}}}});
}

std::string LeptonLogQuery(LeptonFamily family, std::string_view name, int64_t begin_ns,
                           int64_t end_ns, int limit) {
  return absl::StrFormat(
      "/logs?%s=%s&start=%d&end=%d&limit=%d&direction=backward&timestamps=true&q=",
      LogQueryKey(family), name, begin_ns, end_ns, limit);
}

}  // namespace tao::platforms
