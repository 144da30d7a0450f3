#pragma once

// Pure: platform_options of a start, and the operator's environment -> how it is to run.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/catalog/catalog.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

// How the cluster gives a service an address.
enum class ServiceType {
  kAuto,          // LoadBalancer; without an address: NodePort if reachable, else port-forward
  kLoadBalancer,  // its address, or the start fails
  kNodePort,
  kClusterIp,  // reached by port-forward alone
};
std::string_view ToString(ServiceType type);  // "auto", "LoadBalancer", ...

struct Toleration {
  std::string key, value, effect;  // value and effect may be empty: any
};

struct VolumeClaim {
  std::string claim;        // a PersistentVolumeClaim of the namespace
  std::string destination;  // absolute path in the container
  bool read_only = false;
};

struct KubernetesOptions {
  std::string context;  // of the kubeconfig; empty: its current one
  std::string name_space = "default";
  ServiceType service_type = ServiceType::kAuto;
  int service_port = 8080;                                // of the Service; the container's is 8080
  absl::Duration address_wait = absl::Minutes(4);         // for an address of the LoadBalancer
  absl::Duration trouble_grace = absl::Minutes(5);        // of what the cluster retries for ever
  absl::Duration queue_limit = absl::InfiniteDuration();  // in the cluster's queue
  std::map<std::string, std::string> node_selector;
  std::vector<Toleration> tolerations;  // beside the one for nvidia.com/gpu
  std::vector<VolumeClaim> volume_claims;
  std::string runtime_class, service_account, image_pull_policy;  // empty: the cluster's default
  std::string image_pull_secret;  // of the namespace; "none": without; empty: ours, of NGC_KEY
  std::string gpu_resource = "nvidia.com/gpu";
};

std::span<const PlatformOption> KubernetesOptionList();

// InvalidArgument, with all findings as violations (platform_options.NAME). `environment` has
// TAO_K8S_CONTEXT and TAO_K8S_NAMESPACE, which an option of the request goes before.
absl::StatusOr<KubernetesOptions> ParseKubernetesOptions(
    const std::map<std::string, std::string>& options,
    const catalog::EnvironmentLookup& environment);

// RFC 1123 label and subdomain: names of namespaces, and of secrets and claims.
bool IsDnsLabel(std::string_view name);
bool IsDnsSubdomain(std::string_view name);

}  // namespace tao::platforms
