#include "server/platforms/local_process/local_process_platform.h"

#include <absl/strings/str_format.h>
#include <dirent.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>
#include <utility>

#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/io/errno_status.h"
#include "server/io/file.h"
#include "server/io/subprocess.h"
#include "server/platforms/local_process/job_folder_view.h"
#include "server/platforms/local_process/local_process_render.h"
#include "server/platforms/local_process/log_follower.h"
#include "server/platforms/local_process/parent/protocol.h"
#include "server/platforms/port_check.h"
#include "server/platforms/preflight.h"

namespace tao::platforms {
namespace {

constexpr char kBash[] = "/bin/bash";
constexpr absl::Duration kSpawnTimeout = absl::Seconds(30);
constexpr int kSpawnRounds = 100, kSpawnRoundMs = 50;
constexpr absl::Duration kGpuTimeout =
    absl::Seconds(20);  // nvidia-smi takes seconds on a cold driver

std::optional<std::string> RealEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::string WorkingFolder() {
  char path[PATH_MAX];
  return getcwd(path, sizeof(path)) == nullptr ? "" : path;
}

LocalProcessConfig WithEnvironment(LocalProcessConfig config) {
  if (!config.environment) config.environment = &RealEnvironment;
  return config;
}

absl::Status CheckParentProgram(const std::string& path) {
  if (access(path.c_str(), X_OK) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "local-process needs the program tao-process-parent, and %s is not there or not executable. "
      "It is built and installed beside tao-inference-server: put the two side by side again",
      base::Quoted(path)));
}

absl::Status CheckServiceProgram(const launch::LaunchPlan& plan, const std::string& path) {
  const std::optional<std::string> program = ProgramOf(plan.inner_command);
  if (!program.has_value() || io::FindProgram(*program, path).has_value()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "local-process runs %s as a program of this host, and there is no %s in PATH (%s). Start the "
      "server with --local-process-path FOLDER to say where it is, install it, or start the "
      "service "
      "in its container with --platform local-docker",
      plan.network_arch, base::Quoted(*program), base::Quoted(path, 500)));
}

// The words of a helper program, for the middle of a sentence.
std::string OneLine(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "it said nothing" : text;
}

}  // namespace

LocalProcessPlatform::LocalProcessPlatform(LocalProcessConfig config)
    : config_(WithEnvironment(std::move(config))),
      path_(PathOf(config_.path_prefix, config_.environment("PATH"), WorkingFolder())) {}

const PlatformTraits& LocalProcessPlatform::traits() const {
  static constexpr PlatformTraits kTraits = {.name = "local-process",
                                             .execution_backend = "local-docker",
                                             .own_network = false,
                                             .host_filesystem = true,
                                             .host_port = HostPort::kListened};
  return kTraits;
}

std::vector<CheckItem> LocalProcessPlatform::Check(const CheckRequest& request,
                                                   absl::Duration deadline) {
  std::vector<CheckItem> items;
  items.push_back(ItemOf("process-parent", CheckParentProgram(config_.parent_program),
                         "is " + config_.parent_program));
  items.push_back(ItemOf(
      "shell",
      access(kBash, X_OK) == 0
          ? absl::OkStatus()
          : absl::FailedPreconditionError("local-process needs /bin/bash for the service's command "
                                          "line. Install it: apt-get install bash"),
      std::string("is ") + kBash));
  if (request.plan != nullptr) {
    items.push_back(
        ItemOf("service-program", CheckServiceProgram(*request.plan, path_), "is in the PATH"));
  }
  items.push_back(HostGpuItem(request.gpus, config_.gpu_sources, deadline));
  return items;
}

absl::StatusOr<std::vector<std::string>> LocalProcessPlatform::GpuIds(
    const launch::GpuRequest& request) {
  return HostGpuIds(request, config_.gpu_sources, kGpuTimeout);
}

absl::StatusOr<std::optional<PlatformJob>> LocalProcessPlatform::FindStarted(
    const std::string& job_id) const {
  const std::string folder = FolderOf(job_id);
  ASSIGN_OR_RETURN(const JobFiles files, LookAtJob(folder));
  const bool started =
      files.parent.has_value() && (files.parent->child_pid.has_value() || files.exit.has_value());
  if (!started) return std::optional<PlatformJob>();
  return std::optional<PlatformJob>({.job_id = job_id,
                                     .host_port = files.parent->port,
                                     .driver_state = {{"job_folder", folder}}});
}

absl::StatusOr<int> LocalProcessPlatform::ChoosePort(const launch::LaunchPlan& plan,
                                                     LaunchSession& session) const {
  int port = session.host_port();
  while (true) {
    const absl::Status free = CheckPortIsFree(port);
    if (free.ok()) return port;
    if (!absl::IsResourceExhausted(free)) return free;
    if (!plan.inner_command.has_port()) {
      return absl::ResourceExhaustedError(
          absl::StrFormat("%s always listens on port %d, and %s. Free the port, or start the "
                          "service in a container "
                          "of its own with --platform local-docker",
                          plan.network_arch, port, base::ToStd(free.message())));
    }
    ASSIGN_OR_RETURN(port, session.NextPort());
  }
}

absl::StatusOr<PlatformJob> LocalProcessPlatform::StartParent(const launch::LaunchPlan& plan,
                                                              int port,
                                                              LaunchSession& session) const {
  io::SubprocessOptions options = RenderParent(plan, {.parent_program = config_.parent_program,
                                                      .job_folder = FolderOf(plan.job_id),
                                                      .daemon_id = config_.daemon_id,
                                                      .path = path_,
                                                      .max_log_bytes = config_.max_log_bytes,
                                                      .port = port,
                                                      .gpu_ids = session.gpu_ids(),
                                                      .environment = config_.environment});
  options.timeout = kSpawnTimeout;
  options.cancel = &session.cancel();
  for (int round = 0; round < kSpawnRounds; ++round) {
    ASSIGN_OR_RETURN(const io::SubprocessResult result, io::RunSubprocess(options));
    ASSIGN_OR_RETURN(std::optional<PlatformJob> started, FindStarted(plan.job_id));
    if (started.has_value()) return *std::move(started);
    if (result.exit_code != process_parent::kTaken) {
      return absl::UnavailableError(absl::StrFormat(
          "service %s could not be started: %s (exit code %d of tao-process-parent)", plan.job_id,
          OneLine(base::Redact(result.err)), result.exit_code));
    }
    // The parent that a dead daemon began: it sees that nobody waits for it, and goes.
    pollfd cancelled = {.fd = session.cancel().fd(), .events = POLLIN, .revents = 0};
    poll(&cancelled, 1, kSpawnRoundMs);
  }
  return absl::UnavailableError(absl::StrFormat(
      "service %s could not be started: a process holds %s/%s and starts nothing. Find it with "
      "fuser, end it, and start the service again",
      plan.job_id, FolderOf(plan.job_id), process_parent::kLockFile));
}

absl::StatusOr<PlatformJob> LocalProcessPlatform::Launch(const launch::LaunchPlan& plan,
                                                         LaunchSession& session) {
  const std::string folder = FolderOf(plan.job_id);
  RETURN_IF_ERROR(io::MakeFolder(folder));
  ASSIGN_OR_RETURN(std::optional<PlatformJob> started, FindStarted(plan.job_id));
  if (started.has_value()) return *std::move(started);
  RETURN_IF_ERROR(session.SaveDriverState({{"job_folder", folder}}));
  ASSIGN_OR_RETURN(const int port, ChoosePort(plan, session));
  if (session.cancel().cancelled()) {
    return absl::CancelledError(
        absl::StrFormat("the start of service %s was cancelled", plan.job_id));
  }
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kSpawnProcess));
  RETURN_IF_ERROR(ReopenTheDoor(folder));
  absl::StatusOr<PlatformJob> job = StartParent(plan, port, session);
  if (job.ok()) {
    const absl::Status journaled = session.EndStep(registry::Step::kSpawnProcess);
    if (journaled.ok()) return job;
    job = journaled;
  }
  const absl::Status ended = EndJob(folder, absl::ZeroDuration());
  if (ended.ok()) return job;
  return absl::Status(
      job.status().code(),
      absl::StrFormat("%s. What is left of it could not be ended: %s",
                      base::ToStd(job.status().message()), base::ToStd(ended.message())));
}

absl::StatusOr<PlatformState> LocalProcessPlatform::Observe(const PlatformJob& job) {
  ASSIGN_OR_RETURN(const JobFiles files, LookAtJob(FolderOf(job.job_id)));
  return ToPlatformState(files);
}

Platform::Endpoint LocalProcessPlatform::EndpointOf(const PlatformJob& job) const {
  const std::string authority = absl::StrFormat("localhost:%d", job.host_port);
  Endpoint endpoint = {.host_url = "http://" + authority, .docker_url = "", .backend = {}};
  endpoint.backend.host = "127.0.0.1";
  endpoint.backend.port = job.host_port;
  endpoint.backend.authority = authority;
  return endpoint;
}

absl::Status LocalProcessPlatform::Stop(const PlatformJob& job, const StopOptions& options,
                                        StopSession& session) {
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kEndJob));
  const std::string folder = FolderOf(job.job_id);
  RETURN_IF_ERROR(EndJob(folder, options.grace_period));
  RETURN_IF_ERROR(MarkStopped(folder));
  return session.EndStep(registry::Step::kEndJob);
}

absl::Status LocalProcessPlatform::StreamLogs(const PlatformJob& job, const LogOptions& options,
                                              LogSink& sink, const base::CancelToken& cancel) {
  LogFollower follower(FolderOf(job.job_id), sink, cancel);
  RETURN_IF_ERROR(follower.Open(options.tail_lines));
  return options.follow ? follower.Follow() : follower.ReadToEnd(options.timeout);
}

absl::StatusOr<std::vector<FoundJob>> LocalProcessPlatform::FindOurs() {
  std::vector<FoundJob> found;
  DIR* const jobs = opendir(config_.jobs_folder.c_str());
  if (jobs == nullptr) {
    if (errno == ENOENT) return found;
    return absl::UnavailableError(
        std::string(base::ToStd(io::ErrnoStatus(errno, "list " + config_.jobs_folder).message())));
  }
  std::vector<std::string> job_ids;
  while (const dirent* const entry = readdir(jobs)) {
    if (base::IsUuid(entry->d_name)) job_ids.emplace_back(entry->d_name);
  }
  closedir(jobs);
  std::sort(job_ids.begin(), job_ids.end());
  for (const std::string& job_id : job_ids) {
    const absl::StatusOr<JobFiles> looked = LookAtJob(FolderOf(job_id));
    if (!looked.ok()) continue;  // Observe and Stop say why; it must not hide the others
    const JobFiles& files = *looked;
    // A state directory that was copied carries records of the daemon that it was copied from.
    if (files.parent.has_value() && files.parent->daemon_id != config_.daemon_id) continue;
    const PlatformState state = ToPlatformState(files);
    if (state.state == PlatformState::State::kGone) continue;
    if (!files.locked && IsMarkedStopped(FolderOf(job_id))) continue;  // but its log
    found.push_back({.job_id = job_id, .state = state});
  }
  return found;
}

}  // namespace tao::platforms
