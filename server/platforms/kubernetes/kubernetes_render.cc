#include "server/platforms/kubernetes/kubernetes_render.h"

#include <absl/strings/str_format.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace tao::platforms {
namespace {

using Json = nlohmann::json;

// SIGTERM to SIGKILL; as StopOptions has it by default.
constexpr int kGraceSeconds = 20;

// Bytes that are no UTF-8 cannot be in an object; what comes from a request has none.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

// Kubernetes expands $(NAME) in commands and in values of the environment, and takes $$ for $.
std::string Literal(std::string_view text) {
  std::string escaped;
  for (const char c : text) escaped.append(c == '$' ? 2 : 1, c);
  return escaped;
}

Json Labels(std::string_view job_id, std::string_view daemon_id) {
  return {{std::string(kJobLabel), job_id}, {std::string(kDaemonLabel), daemon_id}};
}

Json OwnedMetadata(const Owner& owner, const std::string& name) {
  Json metadata = {{"name", name}, {"labels", Labels(owner.job_id, owner.daemon_id)}};
  if (!owner.job_uid.empty()) {
    metadata["ownerReferences"] = Json::array({{{"apiVersion", "batch/v1"},
                                                {"kind", "Job"},
                                                {"name", ObjectName(owner.job_id)},
                                                {"uid", owner.job_uid}}});
  }
  return metadata;
}

Json Environment(const launch::LaunchPlan& plan, const JobContext& context) {
  Json env = Json::array();
  for (const auto& [name, value] : plan.env) {
    env.push_back({{"name", name}, {"value", Literal(value)}});
  }
  for (const std::string& name : context.secret_names) {
    env.push_back(
        {{"name", name},
         {"valueFrom", {{"secretKeyRef", {{"name", EnvSecretName(plan.job_id)}, {"key", name}}}}}});
  }
  return env;
}

Json Tolerations(const KubernetesOptions& options) {
  Json tolerations =
      Json::array({{{"key", "nvidia.com/gpu"}, {"operator", "Exists"}, {"effect", "NoSchedule"}}});
  for (const Toleration& each : options.tolerations) {
    Json toleration = {{"key", each.key}, {"operator", each.value.empty() ? "Exists" : "Equal"}};
    if (!each.value.empty()) toleration["value"] = each.value;
    if (!each.effect.empty()) toleration["effect"] = each.effect;
    tolerations.push_back(std::move(toleration));
  }
  return tolerations;
}

// The volumes of the pod, and where its container has them.
std::pair<Json, Json> Volumes(const launch::LaunchPlan& plan, const KubernetesOptions& options) {
  Json volumes = Json::array(), mounts = Json::array();
  const auto add = [&](const std::string& name, const char* kind, Json source,
                       const std::string& destination, bool read_only) {
    volumes.push_back({{"name", name}, {kind, std::move(source)}});
    Json mount = {{"name", name}, {"mountPath", destination}};
    if (read_only) mount["readOnly"] = true;
    mounts.push_back(std::move(mount));
  };
  // The default /dev/shm has 64 MB, too few for the workers of a data loader.
  add("dshm", "emptyDir", {{"medium", "Memory"}, {"sizeLimit", ToQuantity(plan.shm_size)}},
      "/dev/shm", false);
  for (size_t i = 0; i < plan.mounts.size(); ++i) {
    const launch::Mount& mount = plan.mounts[i];
    add(absl::StrFormat("mount-%d", i), "hostPath", {{"path", mount.source}}, mount.destination,
        mount.read_only);
  }
  for (size_t i = 0; i < options.volume_claims.size(); ++i) {
    const VolumeClaim& claim = options.volume_claims[i];
    Json source = {{"claimName", claim.claim}};
    if (claim.read_only) source["readOnly"] = true;
    add(absl::StrFormat("claim-%d", i), "persistentVolumeClaim", std::move(source),
        claim.destination, claim.read_only);
  }
  return {std::move(volumes), std::move(mounts)};
}

Json Container(const launch::LaunchPlan& plan, const KubernetesOptions& options,
               const JobContext& context, Json mounts) {
  Json container = {
      {"name", kContainerName},
      {"image", plan.image},
      {"command", {"/bin/bash", "-c", Literal(plan.inner_command.Render(kServicePort))}},
      {"ports", Json::array({{{"containerPort", kServicePort}, {"name", "http"}}})},
      {"env", Environment(plan, context)},
      {"volumeMounts", std::move(mounts)}};
  // A count alone: the device plugin chooses. Requests are filled in equal.
  if (plan.gpus.mode != launch::GpuMode::kNone) {
    container["resources"] = {
        {"limits", {{options.gpu_resource, std::to_string(plan.gpus.count)}}}};
  }
  if (!options.image_pull_policy.empty()) {
    container["imagePullPolicy"] = options.image_pull_policy;
  }
  return container;
}

std::string SecretObject(const Owner& owner, const std::string& name, const char* type,
                         Json values) {
  return Dump({{"apiVersion", "v1"},
               {"kind", "Secret"},
               {"metadata", OwnedMetadata(owner, name)},
               {"type", type},
               {"stringData", std::move(values)}});
}

}  // namespace

std::string ObjectName(std::string_view job_id) { return absl::StrFormat("tao-%s", job_id); }
std::string EnvSecretName(std::string_view job_id) { return ObjectName(job_id) + "-env"; }
std::string PullSecretName(std::string_view job_id) { return ObjectName(job_id) + "-pull"; }

std::string ToQuantity(std::string_view shm_size) {
  std::string quantity(shm_size);
  if (!quantity.empty() && quantity.back() == 'b') quantity.pop_back();
  if (quantity.empty()) return quantity;
  switch (quantity.back()) {
    case 'k':
    case 'K':
      quantity.back() = 'K';
      return quantity + "i";
    case 'm':
    case 'M':
      quantity.back() = 'M';
      return quantity + "i";
    case 'g':
    case 'G':
      quantity.back() = 'G';
      return quantity + "i";
    default:
      return quantity;
  }
}

std::string RenderJob(const launch::LaunchPlan& plan, const KubernetesOptions& options,
                      const JobContext& context) {
  const Json labels = Labels(plan.job_id, context.daemon_id);
  auto [volumes, mounts] = Volumes(plan, options);
  Json pod = {{"restartPolicy", "Never"},
              {"terminationGracePeriodSeconds", kGraceSeconds},
              // The container asks nothing of the cluster, and needs no word of its other Services.
              {"enableServiceLinks", false},
              {"automountServiceAccountToken", false},
              {"tolerations", Tolerations(options)},
              {"containers", Json::array({Container(plan, options, context, std::move(mounts))})},
              {"volumes", std::move(volumes)}};
  if (!context.image_pull_secret.empty()) {
    pod["imagePullSecrets"] = Json::array({{{"name", context.image_pull_secret}}});
  }
  if (!options.node_selector.empty()) pod["nodeSelector"] = options.node_selector;
  if (!options.runtime_class.empty()) pod["runtimeClassName"] = options.runtime_class;
  if (!options.service_account.empty()) pod["serviceAccountName"] = options.service_account;
  // backoffLimit 0: a crash is an end, not six more loads of the model. No
  // ttlSecondsAfterFinished: it would take the log and the reason away before anybody has asked.
  return Dump({{"apiVersion", "batch/v1"},
               {"kind", "Job"},
               {"metadata", {{"name", ObjectName(plan.job_id)}, {"labels", labels}}},
               {"spec",
                {{"backoffLimit", 0},
                 {"template", {{"metadata", {{"labels", labels}}}, {"spec", std::move(pod)}}}}}});
}

std::string RenderService(const Owner& owner, ServiceType type, int port) {
  const std::string kind(ToString(type == ServiceType::kAuto ? ServiceType::kLoadBalancer : type));
  // publishNotReadyAddresses, and no readiness probe: the gateway passes on what the container says
  // of itself, also while it loads.
  return Dump({{"apiVersion", "v1"},
               {"kind", "Service"},
               {"metadata", OwnedMetadata(owner, ObjectName(owner.job_id))},
               {"spec",
                {{"type", kind},
                 {"selector", Labels(owner.job_id, owner.daemon_id)},
                 {"publishNotReadyAddresses", true},
                 {"ports", Json::array({{{"name", "http"},
                                         {"port", port},
                                         {"targetPort", kServicePort},
                                         {"protocol", "TCP"}}})}}}});
}

std::string RenderEnvSecret(const Owner& owner, const std::map<std::string, base::Secret>& values) {
  Json data = Json::object();
  for (const auto& [name, value] : values) data[name] = value.Reveal();
  return SecretObject(owner, EnvSecretName(owner.job_id), "Opaque", std::move(data));
}

std::string RenderPullSecret(const Owner& owner, const base::Secret& ngc_key) {
  // The user name is these very characters.
  const Json login = {
      {"auths", {{"nvcr.io", {{"username", "$oauthtoken"}, {"password", ngc_key.Reveal()}}}}}};
  return SecretObject(owner, PullSecretName(owner.job_id), "kubernetes.io/dockerconfigjson",
                      {{".dockerconfigjson", Dump(login)}});
}

std::string ToString(const Right& right) {
  return absl::StrFormat("%s %s%s%s", right.verb, right.resource,
                         right.subresource.empty() ? "" : "/", right.subresource);
}

std::string RenderRights(const std::vector<Right>& rights, std::string_view name_space) {
  Json items = Json::array();
  for (const Right& right : rights) {
    Json attributes = {{"namespace", name_space},
                       {"verb", right.verb},
                       {"group", right.group},
                       {"resource", right.resource}};
    if (!right.subresource.empty()) attributes["subresource"] = right.subresource;
    items.push_back({{"apiVersion", "authorization.k8s.io/v1"},
                     {"kind", "SelfSubjectAccessReview"},
                     {"spec", {{"resourceAttributes", std::move(attributes)}}}});
  }
  return Dump({{"apiVersion", "v1"}, {"kind", "List"}, {"items", std::move(items)}});
}

std::vector<std::string> RenderTarget(const KubernetesTarget& target) {
  std::vector<std::string> arguments;
  if (!target.context.empty()) arguments.push_back("--context=" + target.context);
  if (!target.name_space.empty()) {
    arguments.emplace_back("-n");
    arguments.push_back(target.name_space);
  }
  return arguments;
}

std::vector<std::string> RenderBounded(const KubernetesTarget& target) {
  std::vector<std::string> arguments = RenderTarget(target);
  arguments.emplace_back("--request-timeout=30s");
  return arguments;
}

std::string Selector(std::string_view job_id, std::string_view daemon_id) {
  std::string selector;
  if (!job_id.empty()) selector = absl::StrFormat("%s=%s", kJobLabel, job_id);
  if (daemon_id.empty()) return selector;
  return absl::StrFormat("%s%s%s=%s", selector, selector.empty() ? "" : ",", kDaemonLabel,
                         daemon_id);
}

std::vector<std::string> RenderPortForward(std::string_view job_id, int local_port) {
  return {"port-forward", "--address", "127.0.0.1", "service/" + ObjectName(job_id),
          // The right-hand side is the Service's port.
          absl::StrFormat("%d:http", local_port)};
}

std::vector<std::string> RenderLogs(std::string_view job_name, std::string_view container,
                                    int tail_lines, bool follow) {
  std::vector<std::string> arguments = {"logs", absl::StrFormat("job/%s", job_name),
                                        absl::StrFormat("--tail=%d", tail_lines),
                                        // Of a Job without a pod; kubectl's own is 20 s.
                                        "--pod-running-timeout=5s"};
  if (!container.empty()) arguments.insert(arguments.end(), {"-c", std::string(container)});
  if (follow) arguments.emplace_back("-f");
  return arguments;
}

std::vector<std::string> RenderEvents(std::string_view object) {
  return {"get", "events", "--field-selector", absl::StrFormat("involvedObject.name=%s", object),
          "-o",  "json"};
}

}  // namespace tao::platforms
