#include "server/platforms/kubernetes/kubernetes_options.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using Options = KubernetesOptions;

constexpr PlatformOption kOptions[] = {
    {"context", "context of the kubeconfig (default: TAO_K8S_CONTEXT, else the current one)"},
    {"namespace", "namespace (default: TAO_K8S_NAMESPACE, else default)"},
    {"service-type", "auto, LoadBalancer, NodePort or ClusterIP (default: auto)"},
    {"service-port", "port of the Service (default: 8080)"},
    {"address-wait", "how long to wait for the LoadBalancer's address (default: 4m)"},
    {"trouble-grace", "how long an image pull and the like may be retried (default: 5m)"},
    {"queue-limit", "how long the pod may wait for a node (default: no limit)"},
    {"node-selector", "labels of the node, KEY=VALUE,... (default: none)"},
    {"toleration", "taints to bear, KEY[=VALUE][:EFFECT],... (default: nvidia.com/gpu alone)"},
    {"volume-claim", "PersistentVolumeClaims to mount, CLAIM:/path[:ro],... (default: none)"},
    {"runtime-class", "runtimeClassName, e.g. nvidia on k3s (default: the cluster's)"},
    {"service-account", "service account of the pod (default: the namespace's default)"},
    {"image-pull-secret", "secret of the namespace, or none (default: one of NGC_KEY for nvcr.io)"},
    {"image-pull-policy", "Always, IfNotPresent or Never (default: the cluster's)"},
    {"gpu-resource", "resource that counts the GPUs (default: nvidia.com/gpu)"},
};

constexpr size_t kLongestLabel = 63, kLongestName = 253;

bool IsName(std::string_view name, std::string_view inner) {
  const auto word = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  if (name.empty() || !word(name.front()) || !word(name.back())) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return word(c) || inner.find(c) != std::string_view::npos; });
}

// [prefix/]name of a label, taint or resource.
bool IsQualifiedName(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos && !IsDnsSubdomain(text.substr(0, slash))) return false;
  const std::string_view name = slash == std::string_view::npos ? text : text.substr(slash + 1);
  if (name.empty() || name.size() > kLongestLabel) return false;
  if (!absl::ascii_isalnum(name.front()) || !absl::ascii_isalnum(name.back())) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

bool IsLabelValue(std::string_view value) {
  return value.empty() || (value.find('/') == std::string_view::npos && IsQualifiedName(value));
}

std::vector<std::string> Items(const std::string& text) {
  return absl::StrSplit(text, ',', absl::SkipEmpty());
}

// Each reads one option; empty: fine, else what to write instead.
using Reader = std::function<std::string(const std::string& value, Options& options)>;

std::string ReadServiceType(const std::string& value, Options& options) {
  for (const ServiceType type : {ServiceType::kAuto, ServiceType::kLoadBalancer,
                                 ServiceType::kNodePort, ServiceType::kClusterIp}) {
    if (base::AsciiLower(value) != base::AsciiLower(ToString(type))) continue;
    options.service_type = type;
    return "";
  }
  return "must be auto, LoadBalancer, NodePort or ClusterIP";
}

Reader Text(std::string Options::*field, bool (*check)(std::string_view), const char* rule) {
  return [=](const std::string& value, Options& options) -> std::string {
    if (!check(value)) return rule;
    options.*field = value;
    return "";
  };
}

Reader Wait(absl::Duration Options::*field) {
  return [=](const std::string& value, Options& options) -> std::string {
    int64_t seconds = 0;
    absl::Duration wait;
    if (absl::SimpleAtoi(value, &seconds)) {
      wait = absl::Seconds(seconds);
    } else if (!absl::ParseDuration(value, &wait)) {
      return "must be a time, such as 90s or 4m";
    }
    if (wait < absl::ZeroDuration()) return "must not be negative";
    options.*field = wait;
    return "";
  };
}

std::string ReadServicePort(const std::string& value, Options& options) {
  int port = 0;
  if (!absl::SimpleAtoi(value, &port) || port < 1 || port > 65535) {
    return "must be a number from 1 to 65535";
  }
  options.service_port = port;
  return "";
}

std::string ReadNodeSelector(const std::string& value, Options& options) {
  for (const std::string& item : Items(value)) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos || !IsQualifiedName(item.substr(0, equals)) ||
        !IsLabelValue(item.substr(equals + 1))) {
      return "must be labels of nodes, KEY=VALUE with a comma between two";
    }
    options.node_selector[item.substr(0, equals)] = item.substr(equals + 1);
  }
  return "";
}

std::string ReadTolerations(const std::string& value, Options& options) {
  for (const std::string& item : Items(value)) {
    Toleration toleration;
    const size_t colon = item.find(':');
    std::string taint = item.substr(0, colon);
    if (colon != std::string::npos) toleration.effect = item.substr(colon + 1);
    const size_t equals = taint.find('=');
    if (equals != std::string::npos) toleration.value = taint.substr(equals + 1);
    toleration.key = taint.substr(0, equals);
    const std::string& effect = toleration.effect;
    const bool known = effect.empty() ? colon == std::string::npos
                                      : effect == "NoSchedule" || effect == "PreferNoSchedule" ||
                                            effect == "NoExecute";
    if (!IsQualifiedName(toleration.key) || !IsLabelValue(toleration.value) || !known) {
      return "must be taints, KEY[=VALUE][:NoSchedule|PreferNoSchedule|NoExecute] with a comma "
             "between two";
    }
    options.tolerations.push_back(std::move(toleration));
  }
  return "";
}

std::string ReadVolumeClaims(const std::string& value, Options& options) {
  for (const std::string& item : Items(value)) {
    std::vector<std::string> parts = absl::StrSplit(item, ':');
    const bool read_only = parts.size() == 3 && parts[2] == "ro";
    if (read_only) parts.pop_back();
    if (parts.size() != 2 || !IsDnsSubdomain(parts[0]) || !parts[1].starts_with('/') ||
        parts[1] == "/" || parts[1] == "/dev/shm") {
      return "must be claims and where to mount them, CLAIM:/path[:ro] with a comma between two";
    }
    options.volume_claims.push_back(
        {.claim = parts[0], .destination = parts[1], .read_only = read_only});
  }
  return "";
}

bool IsPullPolicy(std::string_view value) {
  return value == "Always" || value == "IfNotPresent" || value == "Never";
}

bool IsContextName(std::string_view value) {
  return !value.empty() && !value.starts_with('-') &&
         std::none_of(value.begin(), value.end(),
                      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

const std::map<std::string, Reader, std::less<>>& Readers() {
  constexpr const char* kNameRule =
      "must be a name of lower-case letters, digits, '-' and '.', as Kubernetes has them";
  static const auto* const readers = new std::map<std::string, Reader, std::less<>>{
      {"context", Text(&Options::context, IsContextName,
                       "must be a context's name (kubectl config get-contexts -o name)")},
      {"namespace", Text(&Options::name_space, IsDnsLabel,
                         "must be a namespace: lower-case letters, digits and '-', at most 63")},
      {"service-type", ReadServiceType},
      {"service-port", ReadServicePort},
      {"address-wait", Wait(&Options::address_wait)},
      {"trouble-grace", Wait(&Options::trouble_grace)},
      {"queue-limit", Wait(&Options::queue_limit)},
      {"node-selector", ReadNodeSelector},
      {"toleration", ReadTolerations},
      {"volume-claim", ReadVolumeClaims},
      {"runtime-class", Text(&Options::runtime_class, IsDnsSubdomain, kNameRule)},
      {"service-account", Text(&Options::service_account, IsDnsSubdomain, kNameRule)},
      {"image-pull-secret", Text(&Options::image_pull_secret, IsDnsSubdomain, kNameRule)},
      {"image-pull-policy",
       Text(&Options::image_pull_policy, IsPullPolicy, "must be Always, IfNotPresent or Never")},
      {"gpu-resource", Text(&Options::gpu_resource, IsQualifiedName,
                            "must be a resource's name, such as nvidia.com/mig-1g.10gb")},
  };
  return *readers;
}

}  // namespace

std::string_view ToString(ServiceType type) {
  switch (type) {
    case ServiceType::kAuto:
      return "auto";
    case ServiceType::kLoadBalancer:
      return "LoadBalancer";
    case ServiceType::kNodePort:
      return "NodePort";
    case ServiceType::kClusterIp:
      return "ClusterIP";
  }
  return "unknown";
}

bool IsDnsLabel(std::string_view name) { return name.size() <= kLongestLabel && IsName(name, "-"); }

bool IsDnsSubdomain(std::string_view name) {
  if (name.size() > kLongestName) return false;
  for (const absl::string_view label : absl::StrSplit(base::ToAbsl(name), '.')) {
    if (!IsName(base::ToStd(label), "-")) return false;
  }
  return true;
}

std::span<const PlatformOption> KubernetesOptionList() { return kOptions; }

absl::StatusOr<KubernetesOptions> ParseKubernetesOptions(
    const std::map<std::string, std::string>& options,
    const catalog::EnvironmentLookup& environment) {
  Options parsed;
  std::vector<base::FieldViolation> violations;
  const auto read = [&](const std::string& field, std::string_view name, const std::string& value) {
    const auto reader = Readers().find(name);
    if (reader == Readers().end()) return;  // refused before (CheckOptions)
    const std::string wrong = reader->second(value, parsed);
    if (wrong.empty()) return;
    violations.push_back({field, absl::StrFormat("is %s; it %s", base::Quoted(value), wrong)});
  };
  constexpr std::pair<const char*, const char*> kDefaults[] = {{"context", "TAO_K8S_CONTEXT"},
                                                               {"namespace", "TAO_K8S_NAMESPACE"}};
  for (const auto& [name, variable] : kDefaults) {
    const std::string value = environment(variable).value_or("");
    const auto asked = options.find(name);
    if (!value.empty() && (asked == options.end() || asked->second.empty())) {
      read(variable, name, value);
    }
  }
  for (const auto& [name, value] : options) {
    if (!value.empty()) read("platform_options." + name, name, value);
  }
  if (violations.empty()) return parsed;
  std::string message;
  for (const base::FieldViolation& each : violations) {
    message +=
        absl::StrFormat("%s%s %s", message.empty() ? "" : "; ", each.field, each.description);
  }
  return base::WithDetails(absl::InvalidArgumentError(message), {.violations = violations});
}

}  // namespace tao::platforms
