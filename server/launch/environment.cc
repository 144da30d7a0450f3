#include "server/launch/environment.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/closest_name.h"
#include "server/base/strings.h"

namespace tao::launch {
namespace {

constexpr size_t kMaxVariables = 128;
constexpr size_t kMaxNameBytes = 128;
constexpr size_t kMaxValueBytes = 8192;

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool IsSet(const catalog::EnvironmentLookup& environment, const std::string& name) {
  const std::optional<std::string> value = environment(name);
  return value.has_value() && !value->empty();
}

// Why a caller may not set `name`; empty when it may.
std::string Refusal(const std::string& name, const catalog::Catalog& catalog) {
  if (Contains(catalog.plain_env_names(), name)) return "";
  if (Contains(catalog.secrets().passed_on, name)) {
    return absl::StrFormat(
        "is a secret, and secrets never travel in a request; run `export %s=...` where "
        "tao-inference-server is started, start it again, and every container gets it",
        name);
  }
  if (Contains(catalog.secrets().own, name)) {
    return "is a secret of the server's own and given to no container; leave it out";
  }
  if (Contains(catalog.forbidden_env_names(), name)) {
    return "would make the container report to a TAO API that is not there; leave it out";
  }
  for (const auto& [ours, term] : catalog.payload_env()) {
    if (ours == name) return "is set by the server itself; leave it out";
  }
  if (name == "HF_HOME") return "is set by hf_cache (--hf-cache DIR); use that instead";
  std::vector<std::string> known = catalog.plain_env_names();
  const std::vector<std::string>& secrets = catalog.secrets().passed_on;
  known.insert(known.end(), secrets.begin(), secrets.end());
  return absl::StrFormat(
      "is not among the names that containers may be given%s (allowed_docker_env_var_names in "
      "service.yaml lists them)",
      base::DidYouMean(name, known));
}

}  // namespace

Variables ReadCallerEnv(const LaunchRequest& request, const catalog::Catalog& catalog,
                        RequestCheck& check) {
  Variables variables;
  if (request.env.size() > kMaxVariables) {
    check.Add("env", absl::StrFormat("has %d entries; at most %d are allowed", request.env.size(),
                                     kMaxVariables));
    return variables;
  }
  for (const auto& [name, value] : request.env) {
    if (!check.AllowsText("env", name, kMaxNameBytes)) continue;
    const std::string field = RequestCheck::PathOf("env", name);
    if (std::string refusal = Refusal(name, catalog); !refusal.empty()) {
      check.Add(field, std::move(refusal));
    } else if (check.AllowsText(field, value, kMaxValueBytes)) {
      variables.emplace_back(name, value);
    }
  }
  return variables;
}

std::vector<std::string> SecretsToPassOn(const catalog::Catalog& catalog,
                                         const catalog::EnvironmentLookup& environment) {
  std::vector<std::string> names;
  for (const std::string& name : catalog.secrets().passed_on) {
    if (IsSet(environment, name)) names.push_back(name);
  }
  return names;
}

absl::Status CheckRequiredSecrets(const catalog::Arch& arch,
                                  const catalog::EnvironmentLookup& environment) {
  std::vector<std::string> missing;
  std::string exports;
  for (const std::string& name : arch.required_secrets) {
    if (IsSet(environment, name)) continue;
    missing.push_back(name);
    exports += absl::StrFormat("%sexport %s=...", exports.empty() ? "" : "; ", name);
  }
  if (missing.empty()) return absl::OkStatus();
  return base::WithDetails(
      absl::FailedPreconditionError(absl::StrFormat(
          "%s needs %s, which the server's environment does not have: run `%s` where "
          "tao-inference-server is started, and start it again",
          arch.name, base::JoinedList(missing), exports)),
      {.reason = "SECRET_MISSING"});
}

}  // namespace tao::launch
