// What kubectl, the API server, the scheduler and the nodes say when something fails: each text as
// they write it.

#include <gmock/gmock.h>

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
