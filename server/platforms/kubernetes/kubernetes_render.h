#pragma once

// Pure: the objects that a service is made of, as JSON for `kubectl create -f -`, and what kubectl
// is called with. Everything is understood by kubectl 1.20 and by API servers 1.21 to 1.33.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/secret.h"
#include "server/launch/launch_plan.h"
#include "server/platforms/kubernetes/kubernetes_options.h"

namespace tao::platforms {

inline constexpr int kServicePort = 8080;  // of the container
inline constexpr std::string_view kContainerName = "tao";
inline constexpr std::string_view kJobLabel = "tao-job";        // the bare job_id
inline constexpr std::string_view kDaemonLabel = "tao-daemon";  // of the daemon that started it

// Where the objects of a service are.
struct KubernetesTarget {
  std::string context;  // empty: kubectl's own choice (inside a cluster)
  std::string name_space;
  friend bool operator==(const KubernetesTarget&, const KubernetesTarget&) = default;
};

// Name of the Job, the Service and, with a suffix, the Secrets. A UUID alone may begin with a
// digit, which a Service's name must not (DNS-1035).
std::string ObjectName(std::string_view job_id);
std::string EnvSecretName(std::string_view job_id);
std::string PullSecretName(std::string_view job_id);

struct JobContext {
  std::string daemon_id;
  std::string image_pull_secret;  // empty: none
  // Of plan.secret_names, those that the environment has: read from the Secret by name.
  std::vector<std::string> secret_names;
};
std::string RenderJob(const launch::LaunchPlan& plan, const KubernetesOptions& options,
                      const JobContext& context);

// What the Job owns: removed by the cluster's garbage collector with the Job. An empty uid leaves
// the owner out.
struct Owner {
  std::string job_id, daemon_id, job_uid;
};
std::string RenderService(const Owner& owner, ServiceType type, int port);
// Values by name. Goes to kubectl's stdin and nowhere else.
std::string RenderEnvSecret(const Owner& owner, const std::map<std::string, base::Secret>& values);
// A log-in of nvcr.io with the NGC key.
std::string RenderPullSecret(const Owner& owner, const base::Secret& ngc_key);

// One right, as `kubectl auth can-i` asks for it.
struct Right {
  std::string_view verb, group, resource;
  std::string_view subresource = {};  // empty: of the resource itself
};
std::string ToString(const Right& right);  // "get pods/log"
// A question for each (SelfSubjectAccessReview); all in one call, where can-i needs one for each.
std::string RenderRights(const std::vector<Right>& rights, std::string_view name_space);

// The arguments of kubectl before those of the command itself.
std::vector<std::string> RenderTarget(const KubernetesTarget& target);
// The same with a time-out for each request, which kubectl has none of by itself. Not for
// port-forward and logs -f, which it would cut off.
std::vector<std::string> RenderBounded(const KubernetesTarget& target);

// "tao-job=ID" and, with a daemon_id, "tao-daemon=ID".
std::string Selector(std::string_view job_id, std::string_view daemon_id);

std::vector<std::string> RenderPortForward(std::string_view job_id, int local_port);
// Without a container kubectl takes the pod's first.
std::vector<std::string> RenderLogs(std::string_view job_name, std::string_view container,
                                    int tail_lines, bool follow);
std::vector<std::string> RenderEvents(std::string_view object);

// "16g", as docker has it, as a Kubernetes quantity: "16Gi".
std::string ToQuantity(std::string_view shm_size);

}  // namespace tao::platforms
