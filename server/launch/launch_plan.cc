#include "server/launch/launch_plan.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <algorithm>

#include "server/base/closest_name.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/catalog/names.h"
#include "server/launch/arch_options.h"
#include "server/launch/command_builder.h"
#include "server/launch/environment.h"
#include "server/launch/gpus.h"
#include "server/launch/model_path.h"
#include "server/launch/mounts.h"
#include "server/launch/request_check.h"

namespace tao::launch {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;
constexpr size_t kMaxNameBytes = 64;
constexpr absl::Duration kMaxTimeout = absl::Hours(30 * 24);

// The inner command is one argument of the shell, and Linux takes no argument of 128 KiB
// (MAX_ARG_STRLEN). What is left is for the driver's own words around it.
constexpr size_t kMaxCommandBytes = 120 * 1024;

// The arch that the request names; null with the violation added.
const catalog::Arch* FindArch(const LaunchRequest& request, const catalog::Catalog& catalog,
                              RequestCheck& check) {
  constexpr char kField[] = "network_arch";
  const std::vector<std::string> known = catalog.arch_names();
  if (request.network_arch.empty()) {
    check.Add(kField, absl::StrFormat("is required: one of %s", base::JoinedList(known)));
    return nullptr;
  }
  if (!check.AllowsText(kField, request.network_arch, kMaxNameBytes)) return nullptr;
  const catalog::Arch* arch = catalog.FindArch(request.network_arch);
  if (arch == nullptr) {
    check.Add(kField, absl::StrFormat(
                          "%s is not known%s (the archs: %s)", base::Quoted(request.network_arch),
                          base::DidYouMean(request.network_arch, known), base::JoinedList(known)));
  }
  return arch;
}

void CheckTimeout(const std::string& field, absl::Duration timeout, RequestCheck& check) {
  if (timeout >= absl::ZeroDuration() && timeout <= kMaxTimeout) return;
  check.Add(field,
            absl::StrFormat("%s: must be more than 0, and at most %s",
                            absl::FormatDuration(timeout), absl::FormatDuration(kMaxTimeout)));
}

absl::Status CheckImage(const catalog::Catalog::Image& image) {
  if (catalog::IsImageReference(image.reference)) return absl::OkStatus();
  // The catalog has checked its own images, so this one is an operator's.
  return base::WithDetails(
      absl::FailedPreconditionError(absl::StrFormat(
          "%s in the server's environment is %s, which is no image; set it to an image reference "
          "([registry/]name[:tag][@digest]) or a key of versions.yaml, and start the server again",
          image.variable, base::Quoted(image.reference))),
      {.reason = "INVALID_IMAGE"});
}

void CheckPlatform(const LaunchContext& context, RequestCheck& check) {
  std::string choices;
  if (context.platform_choices.has_value()) {
    choices = absl::StrFormat("choose one of: %s", absl::StrJoin(*context.platform_choices, ", "));
  }
  if (context.platform.empty()) {
    check.Add("platform", absl::StrFormat("is required: name one (--platform), or set a default in "
                                          "the server's configuration%s%s",
                                          choices.empty() ? "" : "; ", choices));
    return;
  }
  if (!check.AllowsText("platform", context.platform, kMaxNameBytes) || choices.empty()) return;
  const std::vector<std::string>& known = *context.platform_choices;
  if (std::find(known.begin(), known.end(), context.platform) == known.end()) {
    check.Add("platform", absl::StrFormat("%s is not a platform of this daemon; %s",
                                          base::Quoted(context.platform), choices));
  }
}

absl::Status CheckContext(const LaunchContext& context) {
  if (!base::IsUuid(context.job_id)) {
    return absl::InternalError(
        absl::StrFormat("job_id %s is no UUID", base::Quoted(context.job_id)));
  }
  if (context.execution_backend.empty() || !context.environment) {
    return absl::InternalError("a launch context without execution_backend or environment");
  }
  return absl::OkStatus();
}

}  // namespace

InnerCommand::InnerCommand(std::vector<std::string> words, std::optional<size_t> port_word)
    : words_(std::move(words)), port_word_(port_word) {}

std::string InnerCommand::Render(int port) const {
  std::string line = "umask 0 &&";
  for (size_t i = 0; i < words_.size(); ++i) {
    line += ' ';
    line += i == port_word_ ? std::to_string(port) : words_[i];
  }
  return line;
}

absl::StatusOr<LaunchPlan> BuildLaunchPlan(const LaunchRequest& request,
                                           const catalog::Catalog& catalog,
                                           const LaunchContext& context) {
  RETURN_IF_ERROR(CheckContext(context));
  RequestCheck check(catalog, context);
  check.AllowsText("request_id", request.request_id, kMaxRequestIdBytes);
  const catalog::Arch* const arch = FindArch(request, catalog, check);
  CheckPlatform(context, check);
  const ModelSource model = ReadModelSource(request, catalog, arch, check);
  const OptionWords options = ReadArchOptions(request, arch, check);
  const Variables caller_env = ReadCallerEnv(request, catalog, check);
  MountPlan mounts = ReadMounts(request, context, check);
  GpuRequest gpus = ReadGpus(request, context.default_gpu_mode, check);
  CheckTimeout("progress_timeout", request.progress_timeout, check);
  CheckTimeout("startup_timeout", request.startup_timeout, check);
  if (arch == nullptr || !check.ok()) return check.ToStatus();

  LaunchPlan plan;
  plan.job_id = context.job_id;
  plan.network_arch = arch->name;
  plan.platform = context.platform;
  plan.model_path = model.path;
  plan.model_path_kind = arch->model_path_kind;
  plan.served_names.push_back(model.path);
  if (model.on_hub()) plan.served_names.push_back(model.hub_name);

  plan.env = PayloadVariables(catalog, *arch, context, model);
  plan.env.insert(plan.env.end(), caller_env.begin(), caller_env.end());
  plan.inner_command = BuildInnerCommand({.catalog = catalog,
                                          .arch = *arch,
                                          .context = context,
                                          .model = model,
                                          .options = options,
                                          .payload = plan.env});
  if (const size_t bytes = plan.inner_command.Render(65535).size(); bytes > kMaxCommandBytes) {
    check.Add("env", absl::StrFormat("makes the container's command line %d bytes long; at most %d "
                                     "are possible. Shorten the values",
                                     bytes, kMaxCommandBytes));
    return check.ToStatus();
  }
  // For the container alone: the payload, which is a part of its command line, has no place for it.
  if (!mounts.hf_home.empty()) plan.env.emplace_back("HF_HOME", mounts.hf_home);

  catalog::Catalog::Image image = catalog.ResolveImage(arch->image_key, context.environment);
  RETURN_IF_ERROR(CheckImage(image));
  plan.image = std::move(image.reference);
  plan.image_source = std::move(image.source);
  RETURN_IF_ERROR(CheckRequiredSecrets(*arch, context.environment));
  plan.secret_names = SecretsToPassOn(catalog, context.environment);
  plan.mounts = std::move(mounts.mounts);
  plan.gpus = std::move(gpus);
  plan.platform_options = request.platform_options;
  return plan;
}

}  // namespace tao::launch
