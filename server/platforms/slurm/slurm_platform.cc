#include "server/platforms/slurm/slurm_platform.h"

#include <absl/strings/str_format.h>

#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/platforms/slurm/slurm_launch.h"
#include "server/platforms/slurm/slurm_render.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

}  // namespace

SlurmPlatform::SlurmPlatform(SlurmConfig config) : cluster_(std::move(config)) {}

const PlatformTraits& SlurmPlatform::traits() const {
  static const PlatformTraits kTraits = {.name = "slurm",
                                         .execution_backend = "slurm",
                                         .own_network = false,
                                         .host_filesystem = false,
                                         .host_port = HostPort::kForwarded,
                                         .options = SlurmOptions()};
  return kTraits;
}

absl::Status SlurmPlatform::CheckOptions(const std::map<std::string, std::string>& options) const {
  return CheckSlurmOptions(options);
}

absl::StatusOr<std::vector<std::string>> SlurmPlatform::GpuIds(const launch::GpuRequest& request) {
  const bool tegra = request.mode == launch::GpuMode::kTegra;
  if (!tegra && request.ids.empty()) return std::vector<std::string>();
  return absl::FailedPreconditionError(
      tegra ? "a Slurm cluster has no Tegra GPUs: start with --gpu-mode device and --gpu-count N, "
              "or --gpu-mode none"
            : "on slurm the cluster chooses the GPUs, so ids cannot be asked for: give "
              "--gpu-count N, and --platform-option gpu-type=TYPE if it matters");
}

absl::StatusOr<PlatformJob> SlurmPlatform::Launch(const launch::LaunchPlan& plan,
                                                  LaunchSession& session) {
  ASSIGN_OR_RETURN(SlurmSettings settings,
                   ReadSettings(plan.platform_options, cluster_.config().environment));
  SlurmLaunch launch(cluster_, plan, std::move(settings), session);
  absl::StatusOr<PlatformJob> job = launch.Run();
  if (job.ok()) return job;
  const absl::Status cancelled =
      absl::CancelledError(absl::StrFormat("the start of service %s was cancelled", plan.job_id));
  if (session.cancel().cancelled()) return cancelled;
  cluster_.config().tunnels->Close(plan.job_id);
  PlatformJob left = launch.Job();
  const absl::Status removed = cluster_.End(left, cluster_.config().stop_wait, session.cancel());
  if (absl::IsCancelled(removed)) return cancelled;
  if (removed.ok()) {
    left.driver_state.erase(kSlurmSubmitting);  // what did not appear by now never will
    static_cast<void>(session.SaveDriverState(left.driver_state));
    return job;
  }
  return absl::Status(
      job.status().code(),
      absl::StrFormat("%s. What is left of it could not be removed: %s",
                      base::ToStd(job.status().message()), base::ToStd(removed.message())));
}

void SlurmPlatform::Adopt(const PlatformJob& job) {
  absl::StatusOr<TunnelSpec> spec = cluster_.TunnelOf(job);
  if (spec.ok()) cluster_.config().tunnels->Adopt(job.job_id, *std::move(spec));
}

absl::StatusOr<PlatformState> SlurmPlatform::Observe(const PlatformJob& job) {
  const std::optional<SlurmJobRef> ref = RefOf(job);
  if (!ref.has_value()) {
    return absl::UnavailableError(
        absl::StrFormat("service %s has no job on the cluster yet", job.job_id));
  }
  const absl::StatusOr<SlurmSections> sections =
      cluster_.Ask(RenderStatus(*ref), SlurmCluster::kAskTimeout, nullptr);
  if (!sections.ok()) return CouldNotAsk(sections.status());
  ASSIGN_OR_RETURN(const std::optional<SlurmJobFacts> facts, ParseStatus(*sections));
  if (!facts.has_value()) {
    return PlatformState{
        .state = State::kGone, .detail = absl::StrFormat("job %s", NameOf(*ref)), .exit_code = {}};
  }
  PlatformState state = ToPlatformState(*facts);
  if (state.state == State::kFailed && facts->exit_code == kPortTakenExit) {
    state.detail += absl::StrFormat(": another program took port %s of node %s",
                                    ValueIn(job, kSlurmNodePort), ValueIn(job, kSlurmNode));
  }
  // Its login host may be down while another one answers.
  if (state.state == State::kRunning && !ValueIn(job, kSlurmNode).empty() &&
      !cluster_.config().tunnels->StateOf(job.job_id).ok()) {
    Adopt(job);
  }
  return state;
}

Platform::Endpoint SlurmPlatform::EndpointOf(const PlatformJob& job) const {
  Endpoint endpoint;
  endpoint.host_url = absl::StrFormat("http://localhost:%d", job.host_port);
  endpoint.platform_job_id = ValueIn(job, kSlurmId);
  endpoint.slurm_node = ValueIn(job, kSlurmNode);
  endpoint.backend.host = "127.0.0.1";
  endpoint.backend.port = job.host_port;
  endpoint.backend.authority = absl::StrFormat("localhost:%d", job.host_port);
  return endpoint;
}

absl::Status SlurmPlatform::CheckForeign(const PlatformJob& job) const {
  return ForeignRefOf(job).status();
}

absl::Status SlurmPlatform::Stop(const PlatformJob& job, const StopOptions& /*options*/,
                                 StopSession& session) {
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kCloseTunnel));
  cluster_.config().tunnels->Close(job.job_id);
  RETURN_IF_ERROR(session.EndStep(registry::Step::kCloseTunnel));
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kEndJob));
  // SIGTERM, and SIGKILL after the cluster's KillWait.
  RETURN_IF_ERROR(cluster_.End(job, cluster_.config().stop_wait, session.cancel()));
  return session.EndStep(registry::Step::kEndJob);
}

absl::Status SlurmPlatform::StreamLogs(const PlatformJob& job, const LogOptions& options,
                                       LogSink& sink, const base::CancelToken& cancel) {
  const std::optional<SlurmJobRef> ref = RefOf(job);
  const std::string log = ValueIn(job, kSlurmLog);
  if (!ref.has_value() || log.empty()) {
    return absl::NotFoundError(absl::StrFormat(
        "service %s has no job on the cluster yet, so there are no logs of it", job.job_id));
  }
  bool reader_left = false;
  io::SshCommand read;
  read.command = RenderLogs(*ref, log, options.tail_lines, options.follow);
  read.timeout = options.follow ? absl::InfiniteDuration() : options.timeout;
  read.cancel = &cancel;
  read.max_output_bytes = 16 << 10;  // the sink has it; this is for the words of a failure
  read.on_line = [&sink, &reader_left](bool is_stderr, std::string_view line) {
    if (is_stderr) return true;  // ssh's own
    reader_left = !sink.OnLine(line);
    return !reader_left;
  };
  const absl::StatusOr<io::SubprocessResult> result = cluster_.Run(std::move(read));
  if (reader_left) return absl::OkStatus();
  RETURN_IF_ERROR(result.status());
  if (options.follow || result->exit_code == 0) return absl::OkStatus();
  if (result->exit_code == kNoLogExit) {
    return absl::NotFoundError(absl::StrFormat(
        "job %s has written no log yet: it waits in the queue, or begins", NameOf(*ref)));
  }
  return SlurmError(absl::StrFormat("the log of job %s could not be read", NameOf(*ref)),
                    result->exit_code, result->err);
}

absl::StatusOr<std::vector<FoundJob>> SlurmPlatform::FindOurs() {
  std::vector<FoundJob> found;
  ASSIGN_OR_RETURN(const SlurmSections sections,
                   cluster_.Ask(RenderFindOurs(), SlurmCluster::kAskTimeout, nullptr));
  ASSIGN_OR_RETURN(const std::string lines, Answer(sections, "squeue"));
  for (const SlurmNamedJob& job : ParseNamed(lines)) {
    if (job.comment != DaemonComment(cluster_.config().daemon_id)) continue;
    if (!job.name.starts_with("tao-") || !base::IsUuid(job.name.substr(4))) continue;
    SlurmJobFacts facts;
    facts.state = job.state;
    found.push_back({.job_id = job.name.substr(4), .state = ToPlatformState(facts)});
  }
  return found;
}

}  // namespace tao::platforms
