#include "server/platforms/kubernetes/kubernetes_render.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace tao::platforms {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;

constexpr char kJob[] = "1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10";

launch::LaunchPlan Plan() {
  launch::LaunchPlan plan;
  plan.job_id = kJob;
  plan.image = "nvcr.io/x:1";
  plan.inner_command = launch::InnerCommand({"serve", "--port", "0", "'$HOME $(id)'"}, 2);
  plan.env = {{"TAO_EXECUTION_BACKEND", "local-k8s"}, {"NOTE", "$(HF_TOKEN)"}};
  plan.gpus.count = 2;
  return plan;
}

// Job as it is written, with every default: nothing more may be in it.
TEST(RenderJobTest, IsTheWholeObject) {
  const Json want = Json::parse(R"json({
    "apiVersion": "batch/v1", "kind": "Job",
    "metadata": {"name": "tao-1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10",
                 "labels": {"tao-job": "1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10", "tao-daemon": "d-1"}},
    "spec": {
      "backoffLimit": 0,
      "template": {
        "metadata": {"labels": {"tao-job": "1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10", "tao-daemon": "d-1"}},
        "spec": {
          "restartPolicy": "Never", "terminationGracePeriodSeconds": 20, "enableServiceLinks": false,
          "automountServiceAccountToken": false,
          "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
          "containers": [{
            "name": "tao", "image": "nvcr.io/x:1",
            "command": ["/bin/bash", "-c", "umask 0 && serve --port 8080 '$$HOME $$(id)'"],
            "ports": [{"containerPort": 8080, "name": "http"}],
            "env": [{"name": "TAO_EXECUTION_BACKEND", "value": "local-k8s"},
                    {"name": "NOTE", "value": "$$(HF_TOKEN)"}],
            "resources": {"limits": {"nvidia.com/gpu": "2"}},
            "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}]}],
          "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}]}}}})json");
  const Json got = Json::parse(
      RenderJob(Plan(), {}, {.daemon_id = "d-1", .image_pull_secret = "", .secret_names = {}}));
  EXPECT_EQ(got, want) << got.dump(1);
}

TEST(RenderJobTest, OptionsAreWhereTheClusterReadsThem) {
  launch::LaunchPlan plan = Plan();
  plan.mounts = {{.source = "/data/x", .destination = "/models/x", .read_only = true}};
  plan.secret_names = {"HF_TOKEN", "NOT_SET"};
  KubernetesOptions options;
  options.node_selector = {{"zone", "a"}};
  options.tolerations = {{"dedicated", "gpu", "NoSchedule"}, {"spot", "", ""}};
  options.volume_claims = {{"models", "/models/y", true}};
  options.runtime_class = "nvidia";
  options.service_account = "runner";
  options.image_pull_policy = "IfNotPresent";
  options.gpu_resource = "nvidia.com/mig-1g.10gb";
  const Json pod =
      Json::parse(RenderJob(plan, options,
                            {.daemon_id = "d-1",
                             .image_pull_secret = "ngc",
                             .secret_names = {"HF_TOKEN"}}))["spec"]["template"]["spec"];
  EXPECT_EQ(pod["nodeSelector"], Json::parse(R"({"zone": "a"})"));
  EXPECT_EQ(pod["tolerations"][1], Json::parse(R"({"key": "dedicated", "operator": "Equal",
                                                   "value": "gpu", "effect": "NoSchedule"})"));
  EXPECT_EQ(pod["tolerations"][2], Json::parse(R"({"key": "spot", "operator": "Exists"})"));
  EXPECT_EQ(pod["runtimeClassName"], "nvidia");
  EXPECT_EQ(pod["serviceAccountName"], "runner");
  EXPECT_EQ(pod["imagePullSecrets"], Json::parse(R"([{"name": "ngc"}])"));
  const Json container = pod["containers"][0];
  EXPECT_EQ(container["imagePullPolicy"], "IfNotPresent");
  EXPECT_EQ(container["resources"], Json::parse(R"({"limits": {"nvidia.com/mig-1g.10gb": "2"}})"));
  EXPECT_EQ(container["env"][2], Json::parse(R"({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {
      "name": "tao-1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10-env", "key": "HF_TOKEN"}}})"));
  EXPECT_EQ(container["env"].size(), 3u) << "one that is not set cannot be read from the Secret";
  EXPECT_EQ(pod["volumes"][1],
            Json::parse(R"({"name": "mount-0", "hostPath": {"path": "/data/x"}})"));
  EXPECT_EQ(pod["volumes"][2], Json::parse(R"({"name": "claim-0",
                            "persistentVolumeClaim": {"claimName": "models", "readOnly": true}})"));
  EXPECT_EQ(container["volumeMounts"][1],
            Json::parse(R"({"name": "mount-0", "mountPath": "/models/x", "readOnly": true})"));
  EXPECT_EQ(container["volumeMounts"][2],
            Json::parse(R"({"name": "claim-0", "mountPath": "/models/y", "readOnly": true})"));
}

TEST(RenderJobTest, WithoutAGpuNoneIsAskedFor) {
  launch::LaunchPlan plan = Plan();
  plan.gpus.mode = launch::GpuMode::kNone;
  const Json job = Json::parse(
      RenderJob(plan, {}, {.daemon_id = "d", .image_pull_secret = "", .secret_names = {}}));
  EXPECT_FALSE(job["spec"]["template"]["spec"]["containers"][0].contains("resources"));
}

TEST(RenderServiceTest, SelectsThePodAndBelongsToTheJob) {
  const Json service = Json::parse(RenderService(
      {.job_id = kJob, .daemon_id = "d-1", .job_uid = "u-1"}, ServiceType::kAuto, 9000));
  EXPECT_EQ(service, Json::parse(R"({
    "apiVersion": "v1", "kind": "Service",
    "metadata": {"name": "tao-1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10",
                 "labels": {"tao-job": "1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10", "tao-daemon": "d-1"},
                 "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job",
                                      "name": "tao-1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10", "uid": "u-1"}]},
    "spec": {"type": "LoadBalancer",
             "selector": {"tao-job": "1f6e9a52-7b7c-4a42-9a0c-1d9a3c2a8f10", "tao-daemon": "d-1"},
             "publishNotReadyAddresses": true,
             "ports": [{"name": "http", "port": 9000, "targetPort": 8080, "protocol": "TCP"}]}})"));
  const Json unowned = Json::parse(RenderService({.job_id = kJob, .daemon_id = "d", .job_uid = ""},
                                                 ServiceType::kClusterIp, 8080));
  EXPECT_EQ(unowned["spec"]["type"], "ClusterIP");
  EXPECT_FALSE(unowned["metadata"].contains("ownerReferences"));
}

TEST(RenderSecretTest, HoldsTheValuesForTheEnvironmentAndTheRegistry) {
  const Owner owner = {.job_id = kJob, .daemon_id = "d-1", .job_uid = "u-1"};
  const Json env = Json::parse(RenderEnvSecret(owner, {{"HF_TOKEN", base::Secret("hf \"x\"")}}));
  EXPECT_EQ(env["kind"], "Secret");
  EXPECT_EQ(env["type"], "Opaque");
  EXPECT_EQ(env["stringData"], Json::parse(R"({"HF_TOKEN": "hf \"x\""})"));
  EXPECT_EQ(env["metadata"]["ownerReferences"][0]["uid"], "u-1");
  const Json pull = Json::parse(RenderPullSecret(owner, base::Secret("ngc-key-value")));
  EXPECT_EQ(pull["type"], "kubernetes.io/dockerconfigjson");
  EXPECT_EQ(Json::parse(pull["stringData"][".dockerconfigjson"].get<std::string>()),
            Json::parse(R"({"auths": {"nvcr.io": {"username": "$oauthtoken",
                                                  "password": "ngc-key-value"}}})"));
}

TEST(RenderNamesTest, AreNamesThatAnyClusterTakes) {
  for (const std::string& name : {ObjectName(kJob), EnvSecretName(kJob), PullSecretName(kJob)}) {
    EXPECT_TRUE(IsDnsLabel(name)) << name;
    EXPECT_TRUE(name.starts_with("tao-")) << "DNS-1035: a letter first";
  }
}

TEST(RenderArgumentsTest, NameClusterAndNamespaceAndBoundEachRequest) {
  const KubernetesTarget target = {.context = "c", .name_space = "n"};
  EXPECT_THAT(RenderBounded(target),
              ElementsAre("--context=c", "-n", "n", "--request-timeout=30s"));
  EXPECT_THAT(RenderTarget(target), ElementsAre("--context=c", "-n", "n"));
  EXPECT_THAT(RenderTarget({.context = "", .name_space = "n"}), ElementsAre("-n", "n"));
  EXPECT_EQ(Selector("j", "d"), "tao-job=j,tao-daemon=d");
  EXPECT_EQ(Selector("j", ""), "tao-job=j");
  EXPECT_EQ(Selector("", "d"), "tao-daemon=d");
  EXPECT_THAT(RenderPortForward("j", 8085),
              ElementsAre("port-forward", "--address", "127.0.0.1", "service/tao-j", "8085:http"));
  EXPECT_THAT(
      RenderLogs("tao-j", "tao", -1, true),
      ElementsAre("logs", "job/tao-j", "--tail=-1", "--pod-running-timeout=5s", "-c", "tao", "-f"));
  EXPECT_THAT(RenderLogs("theirs", "", 200, false),
              ElementsAre("logs", "job/theirs", "--tail=200", "--pod-running-timeout=5s"));
}

TEST(RenderRightsTest, AsksForEachInOneList) {
  const Json list =
      Json::parse(RenderRights({{"create", "batch", "jobs"}, {"get", "", "pods", "log"}}, "n"));
  EXPECT_EQ(list["kind"], "List");
  ASSERT_EQ(list["items"].size(), 2u);
  EXPECT_EQ(list["items"][1], Json::parse(R"({
    "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
    "spec": {"resourceAttributes": {"namespace": "n", "verb": "get", "group": "", "resource": "pods",
                                    "subresource": "log"}}})"));
  EXPECT_EQ(ToString(Right{"get", "", "pods", "log"}), "get pods/log");
}

TEST(ToQuantityTest, IsWhatDockerMeans) {
  EXPECT_EQ(ToQuantity("16g"), "16Gi");
  EXPECT_EQ(ToQuantity("512M"), "512Mi");
  EXPECT_EQ(ToQuantity("64kb"), "64Ki");
  EXPECT_EQ(ToQuantity("1048576"), "1048576");
}

}  // namespace
}  // namespace tao::platforms
