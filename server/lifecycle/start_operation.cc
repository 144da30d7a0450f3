#include "server/lifecycle/start_operation.h"

#include <absl/strings/str_format.h>

#include "server/base/cancel.h"
#include "server/base/log.h"
#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/lifecycle/backend_of.h"
#include "server/lifecycle/journal_session.h"
#include "server/lifecycle/request_codec.h"
#include "server/lifecycle/stop_operation.h"

namespace tao::lifecycle {
namespace {

using registry::Operation;
using registry::ServiceRecord;
using registry::Step;

// The word of a failed launch, for `reason`.
std::string_view LaunchReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kNotFound:
      return "image_not_found";
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return "image_pull_denied";
    case absl::StatusCode::kResourceExhausted:
      return "no_capacity";
    case absl::StatusCode::kDeadlineExceeded:
      return "launch_timeout";
    default:
      return "launch_failed";
  }
}

absl::Status Confirm(Parts& parts, const platforms::Platform& platform,
                     const platforms::PlatformJob& job, JournalSession& session) {
  RETURN_IF_ERROR(session.BeginStep(Step::kConfirm));
  const platforms::Platform::Endpoint endpoint = platform.EndpointOf(job);
  const absl::Time now = parts.clock->Now();
  const auto confirmed = parts.registry->Update(job.job_id, [&](ServiceRecord& record) {
    record.driver_state = job.driver_state;
    record.host_port = job.host_port;
    WriteEndpoint(endpoint, record);
    // Told again after a crash: the clock of the start-up limit goes on from the first
    // confirmation.
    if (record.started_at == absl::InfinitePast()) record.started_at = now;
    if (record.phase == routing::Phase::kLaunching || record.phase == routing::Phase::kPending) {
      record.phase = routing::Phase::kStarting;
      record.phase_since = now;
      record.progress_since = now;
      record.progress = {};
      record.reason.clear();
      record.message = "the container runs; waiting for its server";
    }
    return true;
  });
  RETURN_IF_ERROR(confirmed.status());
  return session.EndStep(Step::kConfirm);
}

absl::Status Publish(Parts& parts, const std::string& job_id, JournalSession& session) {
  RETURN_IF_ERROR(session.BeginStep(Step::kPublish));
  if (const absl::Status published = parts.registry_file->PublishNow(job_id); !published.ok()) {
    // Other tools do not see it until the next write succeeds; requests are served all the same.
    base::Log(base::LogLevel::kWarning, "lifecycle", "the registry file was not written",
              {{"job_id", job_id}, {"error", published.ToString()}});
  }
  RETURN_IF_ERROR(session.EndStep(Step::kPublish));
  return parts.registry
      ->Update(job_id,
               [](ServiceRecord& record) {
                 if (record.journal.operation != Operation::kStart) return false;
                 record.journal = {};
                 return true;
               })
      .status();
}

absl::Status Carry(Parts& parts, const ServiceRecord& record, const base::CancelToken& cancel) {
  platforms::Platform* const platform = parts.PlatformNamed(record.platform);
  if (platform == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrFormat("platform %s is not available in this daemon", record.platform));
  }
  ASSIGN_OR_RETURN(const launch::LaunchRequest request,
                   DecodeLaunchRequest(record.request_fingerprint));
  ASSIGN_OR_RETURN(launch::LaunchPlan plan, PlanOf(parts, request, record.job_id, *platform));
  plan.image = record.image;  // what Start answered with, also when IMAGE_<KEY> has changed since
  JournalSession session(parts, Operation::kStart, record, cancel);
  ASSIGN_OR_RETURN(const platforms::PlatformJob job, platform->Launch(plan, session));
  RETURN_IF_ERROR(Confirm(parts, *platform, job, session));
  return Publish(parts, record.job_id, session);
}

void ReportWaiting(Parts& parts, const std::string& job_id, const absl::Status& why) {
  base::Log(base::LogLevel::kWarning, "lifecycle",
            "a start that was interrupted cannot go on yet, trying again",
            {{"job_id", job_id}, {"error", why.ToString()}});
  static_cast<void>(parts.registry->Update(
      job_id,
      [&](ServiceRecord& changed) {
        changed.message =
            base::Redact("waiting for the platform: " + std::string(base::ToStd(why.message())));
        return true;
      },
      registry::Registry::Durability::kMemory));
}

}  // namespace

absl::StatusOr<launch::LaunchPlan> PlanOf(const Parts& parts, const launch::LaunchRequest& request,
                                          const std::string& job_id,
                                          const platforms::Platform& platform) {
  return launch::BuildLaunchPlan(
      request, *parts.catalog,
      {.job_id = job_id,
       .platform = std::string(platform.traits().name),
       .execution_backend = std::string(platform.traits().execution_backend),
       .default_gpu_mode = parts.config.default_gpu_mode,
       .host_filesystem = platform.traits().host_filesystem,
       .environment = parts.environment});
}

void RunStart(Parts& parts, const std::string& job_id, absl::Duration patience,
              const base::CancelToken& cancel) {
  const absl::Duration deadline = parts.clock->Monotonic() + patience;
  std::optional<ServiceRecord> record;
  absl::Status started;
  while (true) {
    record = parts.registry->Find(job_id);
    if (!record.has_value() || record->journal.operation != Operation::kStart ||
        cancel.cancelled()) {
      return;  // stopped before it began
    }
    started = Carry(parts, *record, cancel);
    if (!absl::IsUnavailable(started) || parts.clock->Monotonic() >= deadline) break;
    ReportWaiting(parts, job_id, started);
    if (base::CancelledWithin(cancel, parts.config.stop_retry)) return;
  }
  if (started.ok()) {
    base::Log(base::LogLevel::kInfo, "lifecycle", "service runs",
              {{"job_id", job_id}, {"network_arch", record->network_arch}});
    return;
  }
  if (cancel.cancelled()) return;
  base::Log(base::LogLevel::kError, "lifecycle", "start failed",
            {{"job_id", job_id}, {"error", started.ToString()}});
  if (MarkFailed(parts, job_id, std::string(LaunchReason(started.code())),
                 std::string(base::ToStd(started.message())))) {
    RunFail(parts, job_id, cancel);
  }
}

}  // namespace tao::lifecycle
