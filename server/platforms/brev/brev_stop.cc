// BrevPlatform's Stop, and what a failed start takes back: the container, and the instance if Start
// made it.

#include <absl/strings/str_format.h>
#include <poll.h>

#include <algorithm>
#include <optional>
#include <set>

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/brev/brev_platform.h"
#include "server/platforms/brev/brev_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(45);  // brev ls; ssh's questions
constexpr absl::Duration kDeleteTimeout = absl::Minutes(2);
constexpr int kDeleteRounds = 60;
// What brev or docker had begun when it was cut off shows up late.
constexpr int kLateRounds = 10;

// Waits for `time`; true when `cancel` (may be null) has fired.
bool CancelledWithin(const base::CancelToken* cancel, absl::Duration time) {
  pollfd waiting = {.fd = cancel == nullptr ? -1 : cancel->fd(), .events = POLLIN, .revents = 0};
  poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(time)));
  return cancel != nullptr && cancel->cancelled();
}

absl::Status Cancelled() { return absl::CancelledError("cancelled"); }

}  // namespace

absl::Status BrevPlatform::RemoveContainer(const BrevInstanceShell& shell,
                                           const std::string& job_id, bool foreign, bool late,
                                           const base::CancelToken* cancel) const {
  for (int round = 0; round < (late ? kLateRounds : 1); ++round) {
    if (round > 0 && CancelledWithin(cancel, config_.removal_interval)) return Cancelled();
    ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, shell.Inspect(job_id, cancel));
    if (!found.has_value()) continue;
    if (IsOurs(*found, job_id, foreign)) RETURN_IF_ERROR(shell.Remove(job_id, cancel));
    break;
  }
  io::SshCommand logout;
  logout.command = LogoutCommand(job_id);
  logout.cancel = cancel;
  return shell.Run(logout).status();
}

absl::Status BrevPlatform::DeleteOwned(const std::string& job_id,
                                       const base::CancelToken* cancel) const {
  const std::string name = OwnInstanceName(job_id, config_.daemon_id);
  std::set<std::string> told;
  for (int round = 0; round < kDeleteRounds; ++round) {
    ASSIGN_OR_RETURN(const std::vector<BrevInstance> all, cli_.List(kAskTimeout, cancel));
    bool left = false;
    for (const BrevInstance& instance : all) {  // two, when an answer was lost
      if (instance.name != name || UseOf(instance) == InstanceUse::kDeleting) continue;
      left = true;
      if (told.insert(instance.id).second) {
        RETURN_IF_ERROR(cli_.Delete(instance.id, kDeleteTimeout, cancel));
      }
    }
    if (!left) return absl::OkStatus();
    // The first look after it mostly finds it told.
    if (round > 0 && CancelledWithin(cancel, config_.removal_interval)) return Cancelled();
  }
  return absl::UnavailableError(absl::StrFormat(
      "brev was told to delete instance %s, and still lists it; it costs money until it is gone "
      "(brev delete %s)",
      base::Quoted(name), name));
}

absl::Status BrevPlatform::CheckForeign(const PlatformJob& job) const {
  if (!ToBrevState(job.driver_state).instance_id.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "service %s was started by another tool, and its registry entry has no instance_id; stop it "
      "with the tool that started it",
      job.job_id));
}

absl::Status BrevPlatform::Stop(const PlatformJob& job, const StopOptions& options,
                                StopSession& session) {
  const BrevState state = ToBrevState(job.driver_state);
  // Without any state it may be an instance that FindOurs found by its name.
  const bool owned = state.owned || job.driver_state.empty();
  if (state.foreign) RETURN_IF_ERROR(CheckForeign(job));
  // The port is leased before the container is made.
  const bool has_container = job.instance_port != 0 || state.foreign;
  const base::CancelToken* const cancel = &session.cancel();
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kCloseTunnel));
  config_.tunnels->Close(job.job_id);
  RETURN_IF_ERROR(session.EndStep(registry::Step::kCloseTunnel));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kEndJob));
  std::optional<BrevInstance> instance;
  if (has_container) {
    const absl::StatusOr<std::optional<BrevInstance>> found = InstanceOf(state, cancel);
    if (found.ok()) instance = *found;
    // Two of one name, after an answer was lost, are both deleted below.
    if (!found.ok() && (!owned || absl::IsCancelled(found.status()))) return found.status();
    if (found.ok() && !found->has_value()) {
      base::Log(base::LogLevel::kWarning, "platforms",
                "brev does not list the instance, so it is taken for deleted; if it belongs to "
                "another login or organisation, the service runs on there, and costs money",
                {{"job_id", job.job_id}, {"instance", state.instance_name}});
    }
  }
  const InstanceUse use = instance.has_value() ? UseOf(*instance) : InstanceUse::kDeleting;
  if (!owned && (use == InstanceUse::kComing || use == InstanceUse::kUnknown)) {
    return absl::UnavailableError(
        absl::StrFormat("instance %s is %s; the container is removed when it runs",
                        base::Quoted(instance->name), Describe(*instance)));
  }
  std::optional<BrevInstanceShell> shell;
  if (use == InstanceUse::kUsable) shell.emplace(ShellOf(instance->name));
  const auto attempt = [owned](const absl::Status& status) {
    // It goes with its instance.
    return owned && !absl::IsCancelled(status) ? absl::OkStatus() : status;
  };
  if (shell.has_value()) {
    const absl::StatusOr<std::optional<ContainerFacts>> found =
        InspectOn(*shell, job.job_id, cancel);
    RETURN_IF_ERROR(attempt(found.status()));
    if (found.ok() && found->has_value() && IsOurs(**found, job.job_id, state.foreign)) {
      const int64_t grace = std::max<int64_t>(absl::ToInt64Seconds(options.grace_period), 0);
      // Whatever it answers, rm -f has the last word, and says what is wrong.
      RETURN_IF_ERROR(attempt(shell
                                  ->Docker({"stop", "-t", std::to_string(grace), job.job_id},
                                           options.grace_period + kAskTimeout, cancel)
                                  .status()));
    }
    if (!found.ok()) shell.reset();
  }
  RETURN_IF_ERROR(session.EndStep(registry::Step::kEndJob));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveContainer));
  if (shell.has_value()) {
    RETURN_IF_ERROR(
        attempt(RemoveContainer(*shell, job.job_id, state.foreign, /*late=*/false, cancel)));
  } else if (use == InstanceUse::kStopped && !owned) {
    base::Log(base::LogLevel::kWarning, "platforms",
              "the instance does not run, so the container stays on it, dead",
              {{"job_id", job.job_id}, {"instance", instance->name}});
  }
  RETURN_IF_ERROR(session.EndStep(registry::Step::kRemoveContainer));

  if (owned) {
    RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveInstance));
    RETURN_IF_ERROR(DeleteOwned(job.job_id, cancel));
    RETURN_IF_ERROR(session.EndStep(registry::Step::kRemoveInstance));
  }
  gpus_.Release(job.job_id);
  if (owned) ForgetLook(state.instance_name);
  return absl::OkStatus();
}

absl::Status BrevPlatform::Undo(const std::string& job_id, const BrevState& state) {
  config_.tunnels->Close(job_id);
  gpus_.Release(job_id);
  if (!state.owned) {
    if (!state.container) return absl::OkStatus();
    return RemoveContainer(ShellOf(state.instance_name), job_id, /*foreign=*/false, state.in_doubt,
                           /*cancel=*/nullptr);
  }
  RETURN_IF_ERROR(DeleteOwned(job_id, /*cancel=*/nullptr));
  for (int round = 0; state.in_doubt && round < kLateRounds; ++round) {
    CancelledWithin(nullptr, config_.removal_interval);
    RETURN_IF_ERROR(DeleteOwned(job_id, /*cancel=*/nullptr));
  }
  return absl::OkStatus();
}

}  // namespace tao::platforms
