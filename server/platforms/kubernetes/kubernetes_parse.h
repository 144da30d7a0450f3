#pragma once

// Pure: what kubectl and the cluster say -> our types.

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/platforms/kubernetes/kubernetes_options.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

struct JobView {
  std::string name, uid;
  std::map<std::string, std::string> labels;
  bool deleting = false;
  bool complete = false, failed = false, suspended = false;
  std::string reason, message;  // of the condition that says failed
};

struct PodView {
  std::string name, job_id, daemon_id, created_at;
  std::string node, node_address;  // empty: it has none yet
  std::string phase;               // Pending, Running, Succeeded, Failed, Unknown
  bool deleting = false;
  std::string reason, message;  // of the pod as a whole: Evicted, NodeLost
  std::string unschedulable;    // what the scheduler says; empty: it has a node, or nobody looked
  bool running = false;         // its container
  std::string waiting_reason, waiting_message;
  std::optional<int> exit_code;
  std::string end_reason, end_message;  // of its container: OOMKilled, Error
};

struct ServiceView {
  std::map<std::string, std::string> labels;
  std::string owner_uid;
  std::string type;
  int port = 0, node_port = 0;
  std::string address;  // of the load balancer: an IP address or a name; empty: none yet
};

// What there is of one service.
struct JobAndPods {
  std::optional<JobView> job;
  std::vector<PodView> pods;
  std::optional<ServiceView> service;
};

// `kubectl get jobs,pods,services -o json`, by job_id; objects without our labels, or of another
// daemon than `daemon_id` (empty: of any), are left out.
absl::StatusOr<std::map<std::string, JobAndPods>> ParseJobs(std::string_view output,
                                                            std::string_view daemon_id);

// The same of one Job, whatever its labels are: `kubectl get jobs` and `kubectl get pods`.
absl::StatusOr<JobAndPods> ParseJobOfAnyone(std::string_view job, std::string_view pods);

struct EventView {
  std::string object, type, reason, message, time;
};
// `kubectl get events -o json`, oldest first.
absl::StatusOr<std::vector<EventView>> ParseEvents(std::string_view output);

// `kubectl get service -o json`.
absl::StatusOr<ServiceView> ParseService(std::string_view output);

// `kubectl get nodes -o json`.
struct NodeView {
  std::string name;
  std::map<std::string, std::string> labels;
  bool usable = false;  // Ready, and not cordoned
  std::map<std::string, std::string> allocatable;
  std::string address;  // ExternalIP, else InternalIP
};
absl::StatusOr<std::vector<NodeView>> ParseNodes(std::string_view output);

// "v1.32.4" of `kubectl version --client -o json`; FailedPrecondition: older than 1.20, or not
// kubectl.
absl::StatusOr<std::string> ParseClientVersion(std::string_view output);

// Of any object: metadata.uid and metadata.labels.
struct ObjectView {
  std::string uid, owner_uid;
  std::map<std::string, std::string> labels;
  bool deleting = false;
};
absl::StatusOr<ObjectView> ParseObject(std::string_view output);
absl::StatusOr<ObjectView> ParseMetadata(std::string_view output);  // of its metadata alone
// Whether a service account brings image pull secrets along.
bool HasPullSecrets(std::string_view output);

// What a failure asks the driver to do, where it is not only an error.
enum class KubernetesFailure {
  kOther,
  kNotFound,  // certainly not there
  kAlreadyExists,
  kForbidden,   // by the rights of this user (RBAC)
  kPortTaken,   // of this host, for port-forward
  kNotStarted,  // the pod has no log yet
};

// One row: texts of kubectl or the cluster, lower case, that all must be there (an empty one
// always is), what it means and what to do.
struct KubernetesFailureRule {
  std::string_view text, also;
  KubernetesFailure kind;
  absl::StatusCode code;
  std::string_view advice;  // a sentence without its full stop; may be empty
};
const std::vector<KubernetesFailureRule>& KubernetesFailureRules();
// The first that fits; null: none.
const KubernetesFailureRule* RuleOf(std::string_view words);
KubernetesFailure FailureKindOf(std::string_view words);

// The error for a kubectl that ended with `exit_code` and `words` on stderr; `what` says what
// failed.
absl::Status KubectlError(std::string_view what, int exit_code, std::string_view words);

// The words on one line, secrets redacted, without kubectl's log lines and warnings.
std::string OnOneLine(std::string_view words);

}  // namespace tao::platforms
