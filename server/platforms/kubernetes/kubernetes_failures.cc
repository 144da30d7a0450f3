// Every failure text of kubectl and the cluster that we know, and what to do about it.

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/kubernetes/kubernetes_parse.h"

namespace tao::platforms {
namespace {

constexpr size_t kMaxWords = 600;  // of kubectl, in one of our errors

// "W1123 14:10:00.000000   123 memcache.go:265] ...": klog's, said again by the error proper.
bool IsLogLine(std::string_view line) {
  if (line.size() < 6 || std::string_view("IWEF").find(line[0]) == std::string_view::npos) {
    return false;
  }
  for (const char c : line.substr(1, 4)) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  }
  return line[5] == ' ';
}

std::string Joined(std::string_view words, bool all) {
  std::string line;
  for (absl::string_view part : absl::StrSplit(base::ToAbsl(words), '\n')) {
    part = absl::StripAsciiWhitespace(part);
    const std::string_view text = base::ToStd(part);
    if (text.empty() || (!all && (IsLogLine(text) || text.starts_with("Warning:")))) continue;
    if (!line.empty()) line += "; ";
    line += text;
  }
  return line;
}

}  // namespace

const std::vector<KubernetesFailureRule>& KubernetesFailureRules() {
  using Code = absl::StatusCode;
  using Kind = KubernetesFailure;
  constexpr Code kPrecondition = Code::kFailedPrecondition;
  constexpr std::string_view kNoConfig =
      "No kubeconfig was loaded: set KUBECONFIG (or ~/.kube/config) of the server's user, and "
      "--context or TAO_K8S_CONTEXT";
  constexpr std::string_view kNoContext =
      "Correct --context or TAO_K8S_CONTEXT, or the path in KUBECONFIG (kubectl config "
      "get-contexts -o name lists those there are)";
  constexpr std::string_view kLogIn =
      "The cluster does not know this user, or the token has expired: log in to the cluster again, "
      "as the server's user";
  constexpr std::string_view kUnreachable =
      "The cluster's API does not answer: check the VPN, the address in the kubeconfig, and the "
      "network";
  constexpr std::string_view kBusy =
      "The cluster's API is in trouble or overloaded: try again later, or ask who runs it";
  constexpr std::string_view kPull =
      "The registry refused: the image pull secret is missing, in another namespace, or its key "
      "may not pull this image. Set NGC_KEY for the server, or --image-pull-secret";
  constexpr std::string_view kNoTag =
      "The image or its tag is not there: correct it with IMAGE_<KEY> in the server's environment";
  constexpr std::string_view kSelector =
      "No node has what is asked for: correct --node-selector (kubectl get nodes --show-labels)";
  constexpr std::string_view kTaint =
      "The nodes keep such pods away: bear their taint with --toleration KEY[=VALUE][:EFFECT]";
  constexpr std::string_view kOom =
      "It needs more memory than its limit or the node has; /dev/shm counts too";
  constexpr std::string_view kDisk =
      "The node's disk is too small for image and weights: free it, or choose another node with "
      "--node-selector";
  constexpr std::string_view kMount =
      "A volume could not be mounted: see the pod's events (kubectl describe pod), and correct "
      "--mount, --hf-cache or --volume-claim";
  constexpr std::string_view kPort = "Another program has the port of this host";
  constexpr std::string_view kOurFault = "This is a fault of the server: please report it";
  // The first row that fits wins: what names one cause stands before what may have many.
  static const auto* const rules = new std::vector<KubernetesFailureRule>{
      // kubectl itself.
      {"exec: executable ", "not found", Kind::kOther, kPrecondition,
       "The kubeconfig's log-in program is not in the server's PATH: install it there"},
      {"getting credentials: ", "", Kind::kOther, kPrecondition, kLogIn},
      {"server localhost:8080 was refused", "", Kind::kOther, kPrecondition, kNoConfig},
      {"server 127.0.0.1:8080 was refused", "", Kind::kOther, kPrecondition, kNoConfig},
      {"no configuration has been provided", "", Kind::kOther, kPrecondition, kNoConfig},
      {"current-context is not set", "", Kind::kOther, kPrecondition, kNoContext},
      {"context was not found for specified context", "", Kind::kOther, kPrecondition, kNoContext},
      {"no context exists with the name", "", Kind::kOther, kPrecondition, kNoContext},
      {"error: context ", "not found", Kind::kOther, kPrecondition, kNoContext},
      {"error loading config file", "", Kind::kOther, kPrecondition,
       "The kubeconfig is broken, or the server's user may not read it"},
      {"you must be logged in to the server", "", Kind::kOther, kPrecondition, kLogIn},
      {"error: unauthorized", "", Kind::kOther, kPrecondition, kLogIn},
      {"please enter username", "", Kind::kOther, kPrecondition,
       "The context's user has no credentials in the kubeconfig: log in to the cluster, as the "
       "server's user"},
      {"error: eof", "", Kind::kOther, kPrecondition,
       "The context's user has no credentials in the kubeconfig: log in to the cluster, as the "
       "server's user"},
      {"asked for the client to provide credentials", "", Kind::kOther, kPrecondition, kLogIn},
      {"unexpected content after media subtype", "", Kind::kOther, kPrecondition,
       "This kubectl cannot read what the cluster says of itself: install a newer one"},
      // Objects: before what their names might look like.
      {"namespaces ", "not found", Kind::kOther, kPrecondition,
       "Create the namespace (kubectl create namespace), or correct --namespace or "
       "TAO_K8S_NAMESPACE"},
      {"(notfound)", "", Kind::kNotFound, Code::kNotFound, ""},
      // Images, in the words of the node.
      {"imagepull", "toomanyrequests", Kind::kOther, Code::kResourceExhausted,
       "The registry limits how often it may be asked: wait, or give an image pull secret"},
      {"imagepull", "no space left on device", Kind::kOther, Code::kResourceExhausted, kDisk},
      {"imagepull", "no match for platform", Kind::kOther, kPrecondition,
       "The image is not made for the node's processor: choose another node with --node-selector"},
      {"imagepull", "no matching manifest", Kind::kOther, kPrecondition,
       "The image is not made for the node's processor: choose another node with --node-selector"},
      {"imagepull", "401 unauthorized", Kind::kOther, Code::kPermissionDenied, kPull},
      {"imagepull", "403 forbidden", Kind::kOther, Code::kPermissionDenied, kPull},
      {"imagepull", "unauthorized", Kind::kOther, Code::kPermissionDenied, kPull},
      {"imagepull", "denied", Kind::kOther, Code::kPermissionDenied, kPull},
      {"imagepull", "no basic auth credentials", Kind::kOther, Code::kPermissionDenied, kPull},
      {"manifest unknown", "", Kind::kOther, Code::kNotFound, kNoTag},
      {"imagepull", "not found", Kind::kOther, Code::kNotFound, kNoTag},
      {"imagepull", "no such host", Kind::kOther, Code::kUnavailable,
       "The node cannot resolve the registry's name: check the image's name, and the node's DNS"},
      {"imagepull", "i/o timeout", Kind::kOther, Code::kUnavailable,
       "The node cannot reach the registry: check its network and proxy"},
      {"imagepull", "x509", Kind::kOther, kPrecondition,
       "The node does not trust the registry's certificate: install its CA on the nodes"},
      {"errimageneverpull", "", Kind::kOther, kPrecondition,
       "The image is not on the node, and --image-pull-policy is Never"},
      {"invalidimagename", "", Kind::kOther, kPrecondition,
       "This is no image reference: correct it with IMAGE_<KEY> in the server's environment"},
      // What a pod names.
      {"persistentvolumeclaim", "not found", Kind::kOther, kPrecondition,
       "Create the claim in the namespace, or correct --volume-claim"},
      {"unbound immediate persistentvolumeclaims", "", Kind::kOther, kPrecondition,
       "The claim has no volume: see kubectl get pvc"},
      {"runtimeclass", "not found", Kind::kOther, kPrecondition,
       "Correct --runtime-class, or leave it out (kubectl get runtimeclass)"},
      {"couldn't find key", "in secret", Kind::kOther, kPrecondition,
       "The secret lacks the key: stop the service and start it again"},
      {"secret ", "not found", Kind::kOther, kPrecondition,
       "The secret is not in the namespace: it comes a moment after the pod, or somebody removed "
       "it; then stop the service and start it again"},
      {"serviceaccount", "not found", Kind::kOther, kPrecondition,
       "Create the service account in the namespace, or correct --service-account"},
      {"priorityclass", "not found", Kind::kOther, kPrecondition,
       "The namespace asks for a priority class that is not there"},
      // The scheduler. It names one cause for some nodes, and others for others.
      {"insufficient nvidia.com/", "", Kind::kOther, Code::kResourceExhausted,
       "No node has as many free GPUs: ask for fewer (--gpu-count), free some, or wait for the "
       "autoscaler"},
      {"insufficient ephemeral-storage", "", Kind::kOther, Code::kResourceExhausted, kDisk},
      {"nodes are available", "insufficient ", Kind::kOther, Code::kResourceExhausted,
       "No node has as much of it free: ask for less, free some, or wait for the autoscaler"},
      {"untolerated taint", "", Kind::kOther, kPrecondition, kTaint},
      {"had taint ", "didn't tolerate", Kind::kOther, kPrecondition, kTaint},
      {"didn't match pod's node affinity", "", Kind::kOther, kPrecondition, kSelector},
      {"didn't match node selector", "", Kind::kOther, kPrecondition, kSelector},
      {"didn't match node affinity", "", Kind::kOther, kPrecondition, kSelector},
      {"no nodes available to schedule", "", Kind::kOther, Code::kResourceExhausted,
       "The cluster has no node that is ready: add one, or wait for the autoscaler"},
      {"nodes are available", "", Kind::kOther, kPrecondition,
       "See what the nodes lack: kubectl describe nodes"},
      // The end of a pod.
      {"oomkilled", "", Kind::kOther, kPrecondition, kOom},
      {"exit status 137", "", Kind::kOther, kPrecondition, kOom},
      {"bus error", "", Kind::kOther, kPrecondition, "/dev/shm is too small: see its size"},
      {"exit status 135", "", Kind::kOther, kPrecondition, "/dev/shm is too small: see its size"},
      {"evicted", "ephemeral", Kind::kOther, kPrecondition, kDisk},
      {"low on resource: ephemeral-storage", "", Kind::kOther, kPrecondition, kDisk},
      {"evicted", "", Kind::kOther, kPrecondition,
       "The node was short of memory or disk: start it again, on another node if need be"},
      {"nodelost", "", Kind::kOther, kPrecondition, "The node is gone: start the service again"},
      {"failedmount", "", Kind::kOther, kPrecondition, kMount},
      {"unable to attach or mount volumes", "", Kind::kOther, kPrecondition, kMount},
      {"mountvolume", "failed", Kind::kOther, kPrecondition, kMount},
      {"exec: \"/bin/bash\"", "", Kind::kOther, kPrecondition,
       "The image has no /bin/bash, so it is none of a TAO service: choose another one with "
       "IMAGE_<KEY>"},
      {"deadlineexceeded", "active longer", Kind::kOther, kPrecondition,
       "The Job has a deadline that the cluster put there: ask who runs it"},
      {"podfailurepolicy", "", Kind::kOther, kPrecondition, "See the pod's log and events"},
      // Admission.
      {"exceeded quota", "", Kind::kOther, Code::kResourceExhausted,
       "The namespace's quota is used up: ask for less, stop other services, or have it raised "
       "(kubectl describe quota)"},
      {"violates podsecurity", "", Kind::kOther, kPrecondition,
       "The namespace's pod security does not allow it, often for a host path (--mount, "
       "--hf-cache): use --volume-claim, or another namespace"},
      {"admission webhook", "", Kind::kOther, kPrecondition,
       "A policy of the cluster refused it: ask who runs it"},
      {"failed calling webhook", "", Kind::kOther, Code::kUnavailable, kBusy},
      {"because it is being terminated", "", Kind::kOther, kPrecondition,
       "The namespace is being removed: choose another one"},
      // The API.
      {"forbidden", "", Kind::kForbidden, kPrecondition,
       "This user lacks the right: ask for create, get, list and delete of jobs, services and "
       "secrets, get and list of pods, get of pods/log, and create of pods/portforward in the "
       "namespace"},
      {"alreadyexists", "", Kind::kAlreadyExists, Code::kAlreadyExists,
       "See whose it is with kubectl describe, and remove it"},
      {"dns-1035", "", Kind::kOther, Code::kInternal, kOurFault},
      {"unknown field", "", Kind::kOther, Code::kInternal, kOurFault},
      {"error validating data", "", Kind::kOther, Code::kInternal, kOurFault},
      {"no matches for kind", "", Kind::kOther, kPrecondition,
       "The cluster is too old: 1.21 or newer is needed"},
      {"server doesn't have a resource type", "", Kind::kOther, kPrecondition,
       "The cluster is too old, or this is no Kubernetes API: 1.21 or newer is needed"},
      // port-forward and logs.
      {"unable to listen on any of the requested ports", "", Kind::kPortTaken,
       Code::kResourceExhausted, kPort},
      {"bind: address already in use", "", Kind::kPortTaken, Code::kResourceExhausted, kPort},
      {"pod is not running", "", Kind::kOther, Code::kUnavailable,
       "There is nothing to forward to: see why the pod does not run"},
      {"lost connection to pod", "", Kind::kOther, Code::kUnavailable,
       "The pod or the connection to it went away; it is opened again"},
      {"error upgrading connection", "", Kind::kOther, Code::kUnavailable,
       "The cluster, or a proxy before it, does not forward ports: choose --service-type "
       "LoadBalancer or NodePort"},
      {"is waiting to start", "", Kind::kNotStarted, Code::kNotFound, ""},
      {"timed out waiting for the condition", "", Kind::kNotStarted, Code::kNotFound,
       "The Job has no pod yet"},
      // The way there.
      {"x509: ", "", Kind::kOther, kPrecondition,
       "The certificate of the cluster's API is not trusted: correct certificate-authority in the "
       "kubeconfig, or the clock"},
      {"no such host", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"was refused", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"unable to connect to the server", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"dial tcp", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"i/o timeout", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"tls handshake timeout", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"context deadline exceeded", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"client.timeout exceeded", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"unexpected eof", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"\": eof", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"connection lost", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"connection reset", "", Kind::kOther, Code::kUnavailable, kUnreachable},
      {"unable to return a response in the time allotted", "", Kind::kOther, Code::kUnavailable,
       kBusy},
      {"toomanyrequests", "", Kind::kOther, Code::kUnavailable, kBusy},
      {"serviceunavailable", "", Kind::kOther, Code::kUnavailable, kBusy},
      {"currently unable to handle the request", "", Kind::kOther, Code::kUnavailable, kBusy},
      {"internalerror", "", Kind::kOther, Code::kUnavailable, kBusy},
      {"internal error", "", Kind::kOther, Code::kUnavailable, kBusy},
      {"etcdserver", "", Kind::kOther, Code::kUnavailable, kBusy},
  };
  return *rules;
}

const KubernetesFailureRule* RuleOf(std::string_view words) {
  const std::string lower = base::AsciiLower(words);
  for (const KubernetesFailureRule& rule : KubernetesFailureRules()) {
    if (lower.find(rule.text) != std::string::npos && lower.find(rule.also) != std::string::npos) {
      return &rule;
    }
  }
  return nullptr;
}

KubernetesFailure FailureKindOf(std::string_view words) {
  const KubernetesFailureRule* const rule = RuleOf(words);
  return rule == nullptr ? KubernetesFailure::kOther : rule->kind;
}

std::string OnOneLine(std::string_view words) {
  std::string line = Joined(words, /*all=*/false);
  if (line.empty()) line = Joined(words, /*all=*/true);
  while (!line.empty() && line.back() == '.') line.pop_back();
  line = base::Redact(std::move(line));
  if (line.size() > kMaxWords) line = line.substr(0, kMaxWords) + "...";
  return line.empty() ? "it said nothing" : line;
}

absl::Status KubectlError(std::string_view what, int exit_code, std::string_view words) {
  const KubernetesFailureRule* const rule = RuleOf(words);
  const std::string text =
      absl::StrFormat("%s: %s (exit code %d of kubectl)", what, OnOneLine(words), exit_code);
  if (rule == nullptr) return absl::FailedPreconditionError(text);
  return absl::Status(rule->code,
                      rule->advice.empty() ? text : absl::StrFormat("%s. %s", text, rule->advice));
}

}  // namespace tao::platforms
