// What kubectl, the API server, the scheduler and the nodes say when something fails: each text as
// they write it.

#include <gmock/gmock.h>

#include <algorithm>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/kubernetes/kubernetes_parse.h"

namespace tao::platforms {
namespace {

using Code = absl::StatusCode;
using Kind = KubernetesFailure;
using testing::HasSubstr;
using testing::Not;

constexpr Code kPrecondition = Code::kFailedPrecondition;

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

struct Row {
  const char* words;
  Kind kind;
  Code code;
  const char* advice;
};

const std::vector<Row>& Rows() {
  static const auto* const rows = new std::vector<Row>{
      {"The connection to the server localhost:8080 was refused - did you specify the right host "
       "or "
       "port?",
       Kind::kOther, kPrecondition, "KUBECONFIG"},
      {"Error in configuration: context was not found for specified context: prod", Kind::kOther,
       kPrecondition, "get-contexts"},
      {"error: context \"prod\" not found", Kind::kOther, kPrecondition, "TAO_K8S_CONTEXT"},
      {"error: context prod not found", Kind::kOther, kPrecondition, "TAO_K8S_CONTEXT"},
      {"error: no context exists with the name: \"prod\"", Kind::kOther, kPrecondition,
       "TAO_K8S_CONTEXT"},
      {"error: current-context is not set", Kind::kOther, kPrecondition, "TAO_K8S_CONTEXT"},
      {"Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: no route to host",
       Kind::kOther, Code::kUnavailable, "VPN"},
      {"Unable to connect to the server: dial tcp: lookup k8s.example on 8.8.8.8:53: no such host",
       Kind::kOther, Code::kUnavailable, "VPN"},
      {"Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout", Kind::kOther,
       Code::kUnavailable, "VPN"},
      {"Unable to connect to the server: net/http: TLS handshake timeout", Kind::kOther,
       Code::kUnavailable, "VPN"},
      {"The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or "
       "port?",
       Kind::kOther, Code::kUnavailable, "VPN"},
      {"error: error when creating \"STDIN\": Post \"https://10.0.0.1:6443/apis/batch/v1/jobs\": "
       "EOF",
       Kind::kOther, Code::kUnavailable, "VPN"},
      {"Unable to connect to the server: x509: certificate signed by unknown authority",
       Kind::kOther, kPrecondition, "certificate-authority"},
      {"error: You must be logged in to the server (Unauthorized)", Kind::kOther, kPrecondition,
       "log in to the cluster again"},
      {"error: unable to recognize \"STDIN\": the server has asked for the client to provide "
       "credentials",
       Kind::kOther, kPrecondition, "log in to the cluster again"},
      {"Error from server (InternalError): Internal error occurred: mime: unexpected content after "
       "media subtype",
       Kind::kOther, kPrecondition, "install a newer one"},
      {"Please enter Username: error: EOF", Kind::kOther, kPrecondition, "no credentials"},
      {"Unable to connect to the server: getting credentials: exec: executable aws not found",
       Kind::kOther, kPrecondition, "log-in program"},
      {"Error from server (Forbidden): error when creating \"STDIN\": jobs.batch is forbidden: "
       "User "
       "\"u\" cannot create resource \"jobs\" in API group \"batch\" in the namespace \"n\"",
       Kind::kForbidden, kPrecondition, "lacks the right"},
      {"Error from server (Forbidden): error when creating \"STDIN\": pods \"x\" is forbidden: "
       "exceeded quota: gpus, requested: requests.nvidia.com/gpu=8, used: 0, limited: 4",
       Kind::kOther, Code::kResourceExhausted, "quota"},
      {"Error from server (Forbidden): pods \"x\" is forbidden: violates PodSecurity "
       "\"restricted:latest\": hostPath volumes",
       Kind::kOther, kPrecondition, "--volume-claim"},
      {"Error from server: admission webhook \"policy.example\" denied the request: no",
       Kind::kOther, kPrecondition, "policy of the cluster"},
      {"Error from server (NotFound): error when creating \"STDIN\": namespaces \"team\" not found",
       Kind::kOther, kPrecondition, "TAO_K8S_NAMESPACE"},
      {"Error from server (NotFound): jobs.batch \"tao-x\" not found", Kind::kNotFound,
       Code::kNotFound, ""},
      {"Error from server (NotFound): secrets \"tao-x-pull\" not found", Kind::kNotFound,
       Code::kNotFound, ""},
      {"Error from server (AlreadyExists): error when creating \"STDIN\": secrets \"x\" already "
       "exists",
       Kind::kAlreadyExists, Code::kAlreadyExists, "remove it"},
      {"0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are "
       "available",
       Kind::kOther, Code::kResourceExhausted, "--gpu-count"},
      {"0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint "
       "{dedicated: x}",
       Kind::kOther, Code::kResourceExhausted, "autoscaler"},
      {"0/3 nodes are available: 3 node(s) had untolerated taint {dedicated: x}.", Kind::kOther,
       kPrecondition, "--toleration"},
      {"0/3 nodes are available: 3 node(s) had taint {dedicated: x}, that the pod didn't tolerate.",
       Kind::kOther, kPrecondition, "--toleration"},
      {"0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
       Kind::kOther, kPrecondition, "--node-selector"},
      {"0/3 nodes are available: 3 node(s) didn't match node selector.", Kind::kOther,
       kPrecondition, "--node-selector"},
      {"0/1 nodes are available: 1 Insufficient memory.", Kind::kOther, Code::kResourceExhausted,
       "ask for less"},
      {"0/1 nodes are available: persistentvolumeclaim \"models\" not found.", Kind::kOther,
       kPrecondition, "--volume-claim"},
      {"ErrImagePull: rpc error: code = Unknown desc = failed to pull and unpack image "
       "\"nvcr.io/x:1\": failed to authorize: unexpected status: 401 Unauthorized",
       Kind::kOther, Code::kPermissionDenied, "NGC_KEY"},
      {"ImagePullBackOff: Back-off pulling image; Failed to pull image \"nvcr.io/x:1\": 403 "
       "Forbidden",
       Kind::kOther, Code::kPermissionDenied, "NGC_KEY"},
      {"ErrImagePull: Error response from daemon: pull access denied for x, repository does not "
       "exist or may require 'docker login': denied: requested access to the resource is denied",
       Kind::kOther, Code::kPermissionDenied, "--image-pull-secret"},
      {"ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "
       "\"nvcr.io/x:2\": nvcr.io/x:2: not found",
       Kind::kOther, Code::kNotFound, "IMAGE_<KEY>"},
      {"ErrImagePull: manifest unknown: manifest unknown", Kind::kOther, Code::kNotFound,
       "IMAGE_<KEY>"},
      {"ErrImagePull: toomanyrequests: You have reached your pull rate limit", Kind::kOther,
       Code::kResourceExhausted, "wait"},
      {"ErrImagePull: write /var/lib/containerd/x: no space left on device", Kind::kOther,
       Code::kResourceExhausted, "disk"},
      {"InvalidImageName: Failed to apply default image tag \"x::\": couldn't parse image name",
       Kind::kOther, kPrecondition, "no image reference"},
      {"CreateContainerConfigError: secret \"tao-x-env\" not found", Kind::kOther, kPrecondition,
       "not in the namespace"},
      {"CreateContainerConfigError: couldn't find key HF_TOKEN in Secret default/tao-x-env",
       Kind::kOther, kPrecondition, "lacks the key"},
      {"pods \"x\" is forbidden: pod rejected: RuntimeClass \"nvidia\" not found", Kind::kOther,
       kPrecondition, "--runtime-class"},
      {"error: unable to recognize \"STDIN\": no matches for kind \"Job\" in version \"batch/v1\"",
       Kind::kOther, kPrecondition, "1.21"},
      {"OOMKilled, exit status 137", Kind::kOther, kPrecondition, "/dev/shm"},
      {"exit status 137", Kind::kOther, kPrecondition, "memory"},
      {"worker died: Bus error (core dumped)", Kind::kOther, kPrecondition, "/dev/shm"},
      {"Service \"1x\" is invalid: metadata.name: Invalid value: \"1x\": a DNS-1035 label must "
       "consist "
       "of lower case alphanumeric characters",
       Kind::kOther, Code::kInternal, "report it"},
      {"error: error validating \"STDIN\": error validating data: ValidationError(Job.spec): "
       "unknown "
       "field \"x\"",
       Kind::kOther, Code::kInternal, "report it"},
      {"pod x: FailedMount: MountVolume.SetUp failed for volume \"mount-0\" : hostPath type check "
       "failed",
       Kind::kOther, kPrecondition, "--mount"},
      {"Evicted, The node was low on resource: ephemeral-storage. Container tao was using 40Gi",
       Kind::kOther, kPrecondition, "disk"},
      {"error: unable to forward port because pod is not running. Current status=Pending",
       Kind::kOther, Code::kUnavailable, "does not run"},
      {"error: lost connection to pod", Kind::kOther, Code::kUnavailable, "opened again"},
      {"Unable to listen on port 8080: Listeners failed to create with the following errors: "
       "[unable to create listener: Error listen tcp4 127.0.0.1:8080: bind: address already in "
       "use]\nerror: unable to listen on any of the requested ports: [{8080 8080}]",
       Kind::kPortTaken, Code::kResourceExhausted, "port of this host"},
      {"Error from server (BadRequest): container \"tao\" in pod \"x\" is waiting to start: "
       "ContainerCreating",
       Kind::kNotStarted, Code::kNotFound, ""},
      {"error: timed out waiting for the condition", Kind::kNotStarted, Code::kNotFound,
       "no pod yet"},
      {"Error from server (ServiceUnavailable): the server is currently unable to handle the "
       "request",
       Kind::kOther, Code::kUnavailable, "try again later"},
      {"Error from server (InternalError): an error on the server (\"\") has prevented the request "
       "from succeeding",
       Kind::kOther, Code::kUnavailable, "try again later"},
      {"Unable to connect to the server: getting credentials: exec: executable "
       "gke-gcloud-auth-plugin "
       "failed with exit code 1",
       Kind::kOther, kPrecondition, "log in to the cluster again"},
      {"The connection to the server 127.0.0.1:8080 was refused - did you specify the right host "
       "or "
       "port?",
       Kind::kOther, kPrecondition, "KUBECONFIG"},
      {"error: invalid configuration: no configuration has been provided, try setting "
       "KUBERNETES_MASTER environment variable",
       Kind::kOther, kPrecondition, "KUBECONFIG"},
      {"error: error loading config file \"/x\": yaml: line 2: mapping values are not allowed",
       Kind::kOther, kPrecondition, "broken"},
      {"error: Unauthorized", Kind::kOther, kPrecondition, "log in to the cluster again"},
      {"error: EOF", Kind::kOther, kPrecondition, "no credentials"},
      {"ErrImagePull: rpc error: no match for platform in manifest: not found", Kind::kOther,
       kPrecondition, "processor"},
      {"ErrImagePull: no matching manifest for linux/arm64/v8 in the manifest list entries",
       Kind::kOther, kPrecondition, "processor"},
      {"ErrImagePull: failed to resolve reference: pull access: unauthorized: authentication "
       "required",
       Kind::kOther, Code::kPermissionDenied, "NGC_KEY"},
      {"ErrImagePull: rpc error: code = Unknown desc = no basic auth credentials", Kind::kOther,
       Code::kPermissionDenied, "NGC_KEY"},
      {"ErrImagePull: Head \"https://nvcr.io/v2/x\": dial tcp: lookup nvcr.io: no such host",
       Kind::kOther, Code::kUnavailable, "DNS"},
      {"ErrImagePull: Head \"https://nvcr.io/v2/x\": dial tcp 1.2.3.4:443: i/o timeout",
       Kind::kOther, Code::kUnavailable, "proxy"},
      {"ErrImagePull: Get \"https://registry/v2/\": x509: certificate signed by unknown authority",
       Kind::kOther, kPrecondition, "CA on the nodes"},
      {"ErrImageNeverPull: Container image \"x:1\" is not present with pull policy of Never",
       Kind::kOther, kPrecondition, "--image-pull-policy"},
      {"0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", Kind::kOther,
       kPrecondition, "get pvc"},
      {"Error creating: pods \"x\" is forbidden: error looking up service account n/s: "
       "serviceaccount \"s\" not found",
       Kind::kOther, kPrecondition, "--service-account"},
      {"pods \"x\" is forbidden: no PriorityClass with name high was found: priorityclass not "
       "found",
       Kind::kOther, kPrecondition, "priority class"},
      {"0/1 nodes are available: 1 Insufficient ephemeral-storage.", Kind::kOther,
       Code::kResourceExhausted, "disk"},
      {"0/1 nodes are available: 1 node(s) didn't match node affinity.", Kind::kOther,
       kPrecondition, "--node-selector"},
      {"no nodes available to schedule pods", Kind::kOther, Code::kResourceExhausted, "add one"},
      {"0/1 nodes are available: 1 node(s) were unschedulable.", Kind::kOther, kPrecondition,
       "describe nodes"},
      {"exit status 135", Kind::kOther, kPrecondition, "/dev/shm"},
      {"The node was low on resource: ephemeral-storage.", Kind::kOther, kPrecondition, "disk"},
      {"Evicted, The node was low on resource: memory.", Kind::kOther, kPrecondition,
       "short of memory"},
      {"NodeLost, Node node-1 which was running pod x is unresponsive", Kind::kOther, kPrecondition,
       "node is gone"},
      {"Unable to attach or mount volumes: unmounted volumes=[claim-0]: timed out", Kind::kOther,
       kPrecondition, "--volume-claim"},
      {"MountVolume.MountDevice failed for volume \"pvc-1\"", Kind::kOther, kPrecondition,
       "--volume-claim"},
      {"CreateContainerError: exec: \"/bin/bash\": stat /bin/bash: no such file or directory",
       Kind::kOther, kPrecondition, "IMAGE_<KEY>"},
      {"DeadlineExceeded: Job was active longer than specified deadline", Kind::kOther,
       kPrecondition, "deadline"},
      {"PodFailurePolicy: Container tao for pod n/x failed with exit code 3 matching FailJob rule",
       Kind::kOther, kPrecondition, "log and events"},
      {"Error from server (InternalError): Internal error occurred: failed calling webhook "
       "\"v.example\"",
       Kind::kOther, Code::kUnavailable, "try again later"},
      {"Error from server (Forbidden): jobs.batch \"x\" is forbidden: unable to create new content "
       "in "
       "namespace n because it is being terminated",
       Kind::kOther, kPrecondition, "another one"},
      {"error: error validating data: the server does not allow access", Kind::kOther,
       Code::kInternal, "report it"},
      {"error: the server doesn't have a resource type \"jobs\"", Kind::kOther, kPrecondition,
       "1.21"},
      {"Unable to listen on port 8080: bind: address already in use", Kind::kPortTaken,
       Code::kResourceExhausted, "port of this host"},
      {"error: error upgrading connection: unable to upgrade connection: 403", Kind::kOther,
       Code::kUnavailable, "--service-type"},
      {"Get \"https://10.0.0.1:6443/api\": dial tcp 10.0.0.1:6443: connect: network is unreachable",
       Kind::kOther, Code::kUnavailable, "VPN"},
      {"read tcp 10.0.0.2:4242->10.0.0.1:6443: i/o timeout", Kind::kOther, Code::kUnavailable,
       "VPN"},
      {"net/http: TLS handshake timeout", Kind::kOther, Code::kUnavailable, "VPN"},
      {"error: context deadline exceeded", Kind::kOther, Code::kUnavailable, "VPN"},
      {"net/http: request canceled (Client.Timeout exceeded while awaiting headers)", Kind::kOther,
       Code::kUnavailable, "VPN"},
      {"error: unexpected EOF", Kind::kOther, Code::kUnavailable, "VPN"},
      {"error: http2: client connection lost", Kind::kOther, Code::kUnavailable, "VPN"},
      {"read: connection reset by peer", Kind::kOther, Code::kUnavailable, "VPN"},
      {"Error from server (Timeout): the server was unable to return a response in the time "
       "allotted, but may still be processing the request",
       Kind::kOther, Code::kUnavailable, "try again later"},
      {"Error from server (TooManyRequests): the server has received too many requests",
       Kind::kOther, Code::kUnavailable, "try again later"},
      {"error: the server is currently unable to handle the request", Kind::kOther,
       Code::kUnavailable, "try again later"},
      {"an internal error occurred", Kind::kOther, Code::kUnavailable, "try again later"},
      {"Error from server: etcdserver: request timed out", Kind::kOther, Code::kUnavailable,
       "try again later"},
  };
  return *rows;
}

TEST(KubernetesFailuresTest, EachTextIsRecognisedAndAnsweredWithItsAdvice) {
  for (const Row& row : Rows()) {
    EXPECT_EQ(FailureKindOf(row.words), row.kind) << row.words;
    const absl::Status status = KubectlError("it failed", 1, row.words);
    EXPECT_EQ(status.code(), row.code) << row.words;
    EXPECT_THAT(Message(status), HasSubstr(row.advice));
    EXPECT_THAT(Message(status), HasSubstr("it failed: "));
  }
}

TEST(KubernetesFailuresTest, NoRowIsHiddenByThoseBeforeIt) {
  for (const KubernetesFailureRule& rule : KubernetesFailureRules()) {
    const std::string words = std::string(rule.text) + " " + std::string(rule.also);
    const KubernetesFailureRule* const found = RuleOf(words);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->advice, rule.advice) << words;
  }
}

TEST(KubernetesFailuresTest, EachRuleHasItsText) {
  for (const KubernetesFailureRule& rule : KubernetesFailureRules()) {
    const bool reached = std::any_of(Rows().begin(), Rows().end(),
                                     [&](const Row& row) { return RuleOf(row.words) == &rule; });
    EXPECT_TRUE(reached) << rule.text << " " << rule.also;
  }
}

TEST(KubernetesFailuresTest, AnUnknownTextIsShown) {
  const absl::Status status = KubectlError("it failed", 7, "error: something new\n");
  EXPECT_EQ(Message(status), "it failed: error: something new (exit code 7 of kubectl)");
}

TEST(KubernetesFailuresTest, LogLinesAndWarningsAreLeftOut) {
  EXPECT_EQ(
      OnOneLine("E1123 14:10:00.000000    1234 memcache.go:265] \"Unhandled Error\" err=\"x\"\n"
                "Warning: batch/v1beta1 is deprecated\n"
                "error: You must be logged in\n"),
      "error: You must be logged in");
  EXPECT_EQ(OnOneLine("Warning: only this"), "Warning: only this");
  EXPECT_EQ(OnOneLine(" \n"), "it said nothing");
}

TEST(KubernetesFailuresTest, SecretsAreRedacted) {
  const base::Secret secret("very-secret-token-of-a-test");
  EXPECT_THAT(Message(KubectlError("it failed", 1, "invalid: very-secret-token-of-a-test")),
              Not(HasSubstr("very-secret")));
}

}  // namespace
}  // namespace tao::platforms
