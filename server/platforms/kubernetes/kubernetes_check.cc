// KubernetesPlatform's check: what a start needs of the cluster, before anything is made there.

#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <iterator>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/kubernetes/kubernetes_platform.h"
#include "server/platforms/preflight.h"

namespace tao::platforms {
namespace {

// What Start, Observe, StreamLogs and Stop do.
constexpr Right kRights[] = {
    {"create", "batch", "jobs"}, {"list", "batch", "jobs"},  {"delete", "batch", "jobs"},
    {"list", "", "pods"},        {"get", "", "pods", "log"}, {"create", "", "services"},
    {"get", "", "services"},     {"list", "", "services"},   {"delete", "", "services"},
    {"list", "", "secrets"},     {"delete", "", "secrets"},
};
constexpr Right kSecretRight = {"create", "", "secrets"};
constexpr Right kForwardRight = {"create", "", "pods", "portforward"};

}  // namespace

// One check; its items come in the order in which they depend on one another.
class KubernetesCheck {
 public:
  KubernetesCheck(const KubernetesPlatform& platform, const CheckRequest& request,
                  absl::Duration deadline)
      : platform_(platform), request_(request), end_(absl::Now() + deadline) {}

  std::vector<CheckItem> Run() {
    const absl::StatusOr<KubernetesOptions> options =
        ParseKubernetesOptions(request_.options, platform_.config_.environment);
    if (!Add("options", options.status(), "")) return std::move(items_);
    items_.clear();  // they are as they should be: no news
    options_ = *options;
    if (!Client() || !Context() || !Api()) return std::move(items_);
    if (!Namespace() || !Rights()) return std::move(items_);
    Gpus();
    PullSecret();
    ServiceKind();
    Manifests();
    return std::move(items_);
  }

 private:
  absl::Duration Left() const { return std::max(end_ - absl::Now(), absl::Milliseconds(1)); }
  absl::StatusOr<std::string> Ask(std::string_view what, std::vector<std::string> arguments,
                                  std::string stdin_text = "") const {
    return platform_.kubectl_.Ask(what, target_,
                                  {.arguments = std::move(arguments),
                                   .stdin_text = std::move(stdin_text),
                                   .timeout = Left()});
  }
  // False ends the checks: what comes after would only say the same again.
  bool Add(std::string_view name, const absl::Status& status, std::string_view found) {
    items_.push_back(ItemOf(name, status, found));
    return status.ok();
  }
  void Warn(std::string_view name, std::string message) {
    items_.push_back({std::string(name), CheckItem::Outcome::kWarning, std::move(message)});
  }

  bool Client() {
    const absl::StatusOr<std::string> output = platform_.kubectl_.AskClient(
        "kubectl does not work",
        {.arguments = {"version", "--client", "-o", "json"}, .timeout = Left()});
    if (!output.ok()) return Add("client", output.status(), "");
    const absl::StatusOr<std::string> version = ParseClientVersion(*output);
    return Add("client", version.status(), version.ok() ? "kubectl is " + *version : "");
  }

  bool Context() {
    const absl::StatusOr<KubernetesTarget> target = platform_.TargetOf(options_, Left());
    if (!target.ok()) return Add("context", target.status(), "");
    target_ = *target;
    if (target_.context.empty()) {
      return Add("context", absl::OkStatus(), "inside a cluster, with its service account");
    }
    if (options_.context.empty()) return Add("context", absl::OkStatus(), target_.context);
    const absl::StatusOr<std::string> known = platform_.kubectl_.AskClient(
        "context " + base::Quoted(target_.context) + " is not in the kubeconfig",
        {.arguments = {"config", "get-contexts", target_.context, "-o", "name"},
         .timeout = Left()});
    return Add("context", known.status(), target_.context);
  }

  bool Api() {
    const absl::StatusOr<std::string> ready =
        Ask("the cluster's API is not ready", {"get", "--raw", "/readyz"});
    return Add("api", ready.status(), "is ready");
  }

  bool Namespace() {
    const absl::StatusOr<std::string> found =
        Ask("namespace " + base::Quoted(target_.name_space) + " cannot be used",
            {"get", "namespace", target_.name_space, "-o", "name"});
    // Who has rights in one namespace alone often may not look at it.
    if (!found.ok() && Forbidden(found.status())) return true;
    return Add("namespace", found.status(), target_.name_space);
  }

  static bool Forbidden(const absl::Status& status) {
    return FailureKindOf(base::ToStd(status.message())) == KubernetesFailure::kForbidden;
  }

  bool Rights() {
    std::vector<Right> wanted(std::begin(kRights), std::end(kRights));
    if (NeedsSecret()) wanted.push_back(kSecretRight);
    if (options_.service_type == ServiceType::kClusterIp) wanted.push_back(kForwardRight);
    const absl::StatusOr<std::string> output =
        Ask("the rights of this user could not be asked for",
            {"create", "-f", "-", "-o", R"(jsonpath={.status.allowed}{"\n"})"},
            RenderRights(wanted, target_.name_space));
    if (!output.ok()) return Add("rights", output.status(), "");
    const std::vector<std::string> answers =
        absl::StrSplit(base::ToAbsl(*output), '\n', absl::SkipWhitespace());
    if (answers.size() != wanted.size()) {
      return Add("rights",
                 absl::UnavailableError("the cluster did not say what this user may do: " +
                                        base::Quoted(*output)),
                 "");
    }
    std::vector<std::string> lacking;
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (answers[i] != "true") lacking.push_back(ToString(wanted[i]));
    }
    if (lacking.empty()) return Add("rights", absl::OkStatus(), "are enough");
    return Add("rights",
               absl::FailedPreconditionError(absl::StrFormat(
                   "this user may not %s in namespace %s: ask who runs the cluster for a Role with "
                   "these verbs (docs/platforms.md has one)",
                   base::JoinedList(lacking), target_.name_space)),
               "");
  }

  bool NeedsSecret() const {
    return request_.plan == nullptr || !request_.plan->secret_names.empty() || OurPullSecret();
  }
  bool OnNgc() const {
    return request_.plan != nullptr && request_.plan->image.starts_with("nvcr.io/");
  }
  bool HasNgcKey() const { return !platform_.config_.environment("NGC_KEY").value_or("").empty(); }
  bool OurPullSecret() const {
    return OnNgc() && options_.image_pull_secret.empty() && HasNgcKey();
  }

  void Gpus() {
    const launch::GpuRequest& gpus = request_.gpus;
    if (gpus.mode == launch::GpuMode::kNone) {
      Add("gpu", absl::OkStatus(), "none asked for");
      return;
    }
    if (const absl::Status asked = CheckGpuRequest(gpus); !asked.ok()) {
      Add("gpu", asked, "");
      return;
    }
    const absl::StatusOr<std::string> output =
        Ask("the nodes could not be read", {"get", "nodes", "-o", "json"});
    if (!output.ok()) {
      if (!Forbidden(output.status())) {
        Add("gpu", output.status(), "");
        return;
      }
      Warn("gpu",
           "this user may not look at the nodes, so that their GPUs are not known: a pod that "
           "fits none of them waits as Unschedulable");
      return;
    }
    const absl::StatusOr<std::vector<NodeView>> nodes = ParseNodes(*output);
    if (!nodes.ok()) {
      Add("gpu", nodes.status(), "");
      return;
    }
    const absl::StatusOr<std::string> node = FindGpuNode(*nodes, options_, std::max(gpus.count, 1));
    const bool skipped =
        platform_.config_.environment("TAO_K8S_SKIP_NODE_RUNTIME_CHECK").value_or("") == "1";
    if (!node.ok() && skipped) {
      Warn("gpu", std::string(base::ToStd(node.status().message())));
      return;
    }
    Add("gpu", node.status(), node.ok() ? *node : "");
  }

  void PullSecret() {
    const std::string& name = options_.image_pull_secret;
    if (name == "none") return;
    if (!name.empty()) {
      const absl::StatusOr<std::string> found = Ask(
          "image pull secret " + base::Quoted(name) + " is not in namespace " + target_.name_space,
          {"get", "secret", name, "-o", "name"});
      if (!found.ok() && Forbidden(found.status())) {
        Warn("image-pull-secret", "this user may not look whether " + name + " is there");
        return;
      }
      Add("image-pull-secret",
          found.ok() ? absl::OkStatus()
                     : absl::Status(found.status().code(),
                                    absl::StrFormat("%s. Create it there, or correct "
                                                    "--image-pull-secret; without one it is made "
                                                    "of NGC_KEY of the server's environment",
                                                    base::ToStd(found.status().message()))),
          name);
      return;
    }
    if (request_.plan != nullptr && !OnNgc()) return;
    if (HasNgcKey()) {
      Add("image-pull-secret", absl::OkStatus(), "is made of NGC_KEY for each service");
      return;
    }
    const std::string account =
        options_.service_account.empty() ? "default" : options_.service_account;
    const absl::StatusOr<std::string> found = Ask("the service account could not be read",
                                                  {"get", "serviceaccount", account, "-o", "json"});
    if (found.ok() && HasPullSecrets(*found)) {
      Add("image-pull-secret", absl::OkStatus(), "comes with service account " + account);
      return;
    }
    const std::string lacking = absl::StrFormat(
        "there is nothing to log in there with: export NGC_KEY=... in the server's environment, or "
        "name a secret of namespace %s with --image-pull-secret (none: the image needs no log-in)",
        target_.name_space);
    if (request_.plan == nullptr) {
      // Of any start: one with another image needs none.
      Warn("image-pull-secret", "images of nvcr.io may need a log-in, and " + lacking);
      return;
    }
    Add("image-pull-secret",
        absl::FailedPreconditionError(
            absl::StrFormat("image %s is on nvcr.io, and %s", request_.plan->image, lacking)),
        "");
  }

  void ServiceKind() {
    const ServiceType type = options_.service_type;
    if (type == ServiceType::kClusterIp || type == ServiceType::kNodePort) {
      Add("service-type", absl::OkStatus(), ToString(type));
      return;
    }
    Warn("service-type",
         absl::StrFormat("%s asks for a LoadBalancer: most clouds bill it, and make the service, "
                         "which has no log-in, reachable for everybody. --service-type ClusterIP "
                         "keeps it inside (kubectl port-forward)",
                         ToString(type)));
  }

  // Also what admission and quota say.
  void Manifests() {
    if (request_.plan == nullptr) return;
    const launch::LaunchPlan& plan = *request_.plan;
    const std::string secret = OurPullSecret()                        ? PullSecretName(plan.job_id)
                               : options_.image_pull_secret == "none" ? ""
                                                                      : options_.image_pull_secret;
    const std::string& daemon = platform_.config_.daemon_id;
    const Owner owner = {.job_id = plan.job_id, .daemon_id = daemon, .job_uid = ""};
    const std::string objects =
        RenderJob(
            plan, options_,
            {.daemon_id = daemon, .image_pull_secret = secret, .secret_names = plan.secret_names}) +
        "\n" + RenderService(owner, options_.service_type, options_.service_port);
    const absl::StatusOr<std::string> taken =
        Ask("the cluster would not take the service",
            {"create", "--dry-run=server", "-f", "-", "-o", "name"}, objects);
    Add("manifests", taken.status(), "would be taken");
  }

  const KubernetesPlatform& platform_;
  const CheckRequest& request_;
  const absl::Time end_;
  KubernetesOptions options_;
  KubernetesTarget target_;
  std::vector<CheckItem> items_;
};

std::vector<CheckItem> KubernetesPlatform::Check(const CheckRequest& request,
                                                 absl::Duration deadline) {
  return KubernetesCheck(*this, request, deadline).Run();
}

}  // namespace tao::platforms
