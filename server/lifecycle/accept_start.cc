// The first half of a Start: everything that can be the call's own error, up to the journal.

#include <absl/strings/str_format.h>

#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/lifecycle/lifecycle.h"
#include "server/lifecycle/request_codec.h"
#include "server/lifecycle/start_operation.h"
#include "server/platforms/preflight.h"

namespace tao::lifecycle {
namespace {

using registry::ServiceRecord;

constexpr size_t kLongestRequestId = 128;

// Everything that is wrong with a request for a platform that there is none of.
absl::Status FindingsWithoutPlatform(const Parts& parts, const launch::LaunchRequest& request,
                                     const std::string& name) {
  std::vector<std::string> choices;
  for (const auto& [known, platform] : parts.platforms) choices.push_back(known);
  return launch::BuildLaunchPlan(request, *parts.catalog,
                                 {.job_id = base::NewUuid(),
                                  .platform = name,
                                  .platform_choices = std::move(choices),
                                  .execution_backend = "none",
                                  .default_gpu_mode = parts.config.default_gpu_mode,
                                  .environment = parts.environment})
      .status();
}

// What a start's findings say of the platform: a check has no arch and no model.
absl::Status PlatformFindingOf(const absl::Status& findings) {
  for (const base::FieldViolation& each : base::DetailsOf(findings).violations) {
    if (each.field != "platform") continue;
    return base::WithDetails(absl::InvalidArgumentError("platform " + each.description),
                             {.violations = {each}});
  }
  return findings;
}

absl::StatusOr<platforms::Platform*> PlatformOf(const Parts& parts,
                                                const launch::LaunchRequest& request) {
  const std::string& name =
      request.platform.empty() ? parts.config.default_platform : request.platform;
  platforms::Platform* const platform = parts.PlatformNamed(name);
  if (platform == nullptr) return FindingsWithoutPlatform(parts, request, name);
  return platform;
}

std::string_view GpuModeName(launch::GpuMode mode) {
  switch (mode) {
    case launch::GpuMode::kDevice:
      return "device";
    case launch::GpuMode::kTegra:
      return "tegra";
    case launch::GpuMode::kNone:
      return "none";
    default:
      return "auto";
  }
}

ServiceRecord NewRecord(const Parts& parts, const launch::LaunchRequest& request,
                        const launch::LaunchPlan& plan) {
  const absl::Time now = parts.clock->Now();
  const auto or_default = [](absl::Duration asked, absl::Duration fallback) {
    return asked > absl::ZeroDuration() ? asked : fallback;
  };
  ServiceRecord record;
  record.job_id = plan.job_id;
  record.network_arch = plan.network_arch;
  record.platform = plan.platform;
  record.request_id = request.request_id;
  record.request_fingerprint = EncodeLaunchRequest(request);
  record.image = plan.image;
  record.model_path = plan.model_path;
  record.model_path_kind = std::string(catalog::ToString(plan.model_path_kind));
  record.served_names = plan.served_names;
  for (const catalog::RequestField& field : parts.catalog->request().chat.fields) {
    if (field.RuleFor(plan.network_arch).use == catalog::FieldUse::kApplies) {
      record.sampling_fields.push_back(field.name);
    }
  }
  record.gpu_mode = std::string(GpuModeName(plan.gpus.mode));
  record.created_at = now;
  record.phase_since = now;
  record.progress_timeout = or_default(request.progress_timeout, parts.config.progress_timeout);
  record.startup_timeout = or_default(request.startup_timeout, parts.config.startup_timeout);
  record.keep_failed = request.keep_failed;
  record.message = "accepted; the launch begins";
  record.journal = {.operation = registry::Operation::kStart, .step = registry::Step::kAccept};
  return record;
}

// The service of an earlier Start with this request_id; AlreadyExists when it meant something else.
absl::StatusOr<std::optional<ServiceRecord>> Earlier(const Parts& parts,
                                                     const launch::LaunchRequest& request) {
  if (request.request_id.empty()) return std::optional<ServiceRecord>();
  std::optional<ServiceRecord> found = parts.registry->FindRequest(request.request_id);
  if (!found.has_value() || found->request_fingerprint == EncodeLaunchRequest(request))
    return found;
  return absl::AlreadyExistsError(
      absl::StrFormat("request_id %s already started service %s with other parameters; use a new "
                      "request_id, or the "
                      "same parameters to get that service",
                      base::Quoted(request.request_id), found->job_id));
}

// Holds the leases of a start that was not accepted yet.
class LeaseGuard {
 public:
  LeaseGuard(Leases& leases, std::string job_id) : leases_(leases), job_id_(std::move(job_id)) {}
  ~LeaseGuard() {
    if (!kept_) leases_.Release(job_id_);
  }
  void Keep() { kept_ = true; }

 private:
  Leases& leases_;
  const std::string job_id_;
  bool kept_ = false;
};

}  // namespace

absl::StatusOr<ServiceRecord> Lifecycle::Start(const launch::LaunchRequest& request) {
  if (request.request_id.size() > kLongestRequestId || !base::IsValidUtf8(request.request_id)) {
    return base::WithDetails(
        absl::InvalidArgumentError("request_id must be UTF-8 of at most 128 bytes"),
        {.violations = {{"request_id", "must be UTF-8 of at most 128 bytes"}}});
  }
  ASSIGN_OR_RETURN(std::optional<ServiceRecord> earlier, Earlier(parts_, request));
  if (earlier.has_value()) return *std::move(earlier);
  absl::StatusOr<ServiceRecord> accepted = AcceptStart(request);
  if (absl::IsAlreadyExists(accepted.status())) {
    // The same request_id was accepted between the two looks: it is this request's service.
    ASSIGN_OR_RETURN(earlier, Earlier(parts_, request));
    if (earlier.has_value()) return *std::move(earlier);
  }
  return accepted;
}

absl::StatusOr<Lifecycle::PlatformCheck> Lifecycle::CheckPlatform(
    const launch::LaunchRequest& request) {
  const absl::StatusOr<platforms::Platform*> found = PlatformOf(parts_, request);
  if (!found.ok()) return PlatformFindingOf(found.status());
  platforms::Platform* const platform = *found;
  RETURN_IF_ERROR(platforms::CheckOptions(*platform, request.platform_options));
  launch::GpuRequest gpus = {
      .mode = request.gpu_mode, .count = request.gpu_count, .ids = request.gpu_ids};
  if (gpus.mode == launch::GpuMode::kUnspecified) gpus.mode = parts_.config.default_gpu_mode;
  return PlatformCheck{
      .platform = std::string(platform->traits().name),
      .items = platform->Check({.options = request.platform_options, .gpus = std::move(gpus)},
                               parts_.config.preflight_timeout)};
}

absl::StatusOr<ServiceRecord> Lifecycle::AcceptStart(const launch::LaunchRequest& request) {
  ASSIGN_OR_RETURN(platforms::Platform* const platform, PlatformOf(parts_, request));
  RETURN_IF_ERROR(platforms::CheckOptions(*platform, request.platform_options));
  const std::string job_id = base::NewUuid();
  ASSIGN_OR_RETURN(const launch::LaunchPlan plan, PlanOf(parts_, request, job_id, *platform));
  RETURN_IF_ERROR(platforms::Preflight(*platform, plan, parts_.config.preflight_timeout));
  ASSIGN_OR_RETURN(const std::vector<std::string> gpus, platform->GpuIds(plan.gpus));

  ServiceRecord record = NewRecord(parts_, request, plan);
  LeaseGuard leases(*parts_.leases, job_id);
  if (platform->traits().host_port != platforms::HostPort::kNone) {
    ASSIGN_OR_RETURN(record.host_port,
                     parts_.leases->AcquirePort(job_id, PortWishOf(parts_, record), {}));
  }
  if (!gpus.empty()) {
    launch::GpuRequest wanted = plan.gpus;
    if (!wanted.ids.empty()) wanted.ids = gpus;  // the platform's own names of those asked for
    ASSIGN_OR_RETURN(record.gpu_ids, parts_.leases->AcquireGpus(job_id, wanted, gpus));
  }
  RETURN_IF_ERROR(parts_.registry->Insert(record));
  leases.Keep();
  RETURN_IF_ERROR(
      parts_.registry->EndStep(job_id, registry::Operation::kStart, registry::Step::kAccept));
  base::Log(base::LogLevel::kInfo, "lifecycle", "start accepted",
            {{"job_id", job_id},
             {"network_arch", plan.network_arch},
             {"platform", plan.platform},
             {"image", plan.image}});
  PostStart(job_id, absl::ZeroDuration());
  return record;
}

}  // namespace tao::lifecycle
