// BrevPlatform::Launch: the instance, its ssh, the image, the container, the endpoint.

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>
#include <poll.h>

#include <algorithm>

#include "server/base/backoff.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/brev/brev_platform.h"
#include "server/platforms/brev/brev_render.h"
#include "server/platforms/docker/docker_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(45);
constexpr absl::Duration kCreateTimeout = absl::Minutes(20);  // of a brev that cannot detach
constexpr absl::Duration kShellTimeout = absl::Seconds(30);   // of `echo ok`
constexpr size_t kMostTypes = 3;
// Others change things while we start: a name, a container may be there a moment later. Ports have
// a limit of their own (InstancePort).
constexpr int kMaxSurprises = 5;
// A key or a name that ssh does not know may be the fault of a configuration that is being written.
constexpr int kSshRefusals = 3;

std::string OptionOf(const launch::LaunchPlan& plan, const std::string& name) {
  const auto found = plan.platform_options.find(name);
  return found == plan.platform_options.end() ? "" : found->second;
}

absl::Status CancelledStart(const std::string& job_id) {
  return absl::CancelledError(absl::StrFormat("the start of service %s was cancelled", job_id));
}

// False when `cancel` fired.
bool WaitUncancelled(const base::CancelToken& cancel, absl::Duration time) {
  pollfd waiting = {.fd = cancel.fd(), .events = POLLIN, .revents = 0};
  poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(time)));
  return !cancel.cancelled();
}

bool MayPass(const absl::Status& error) {
  return absl::IsUnavailable(error) || absl::IsDeadlineExceeded(error);
}

absl::Status WithPrefix(std::string_view prefix, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrFormat("%s: %s", prefix, base::ToStd(status.message())));
}

}  // namespace

absl::StatusOr<PlatformJob> BrevPlatform::Launch(const launch::LaunchPlan& plan,
                                                 LaunchSession& session) {
  BrevState state;
  state.network = OptionOf(plan, "network");
  const std::string reused = OptionOf(plan, "instance-id");
  state.owned = reused.empty();
  state.instance_id = reused;  // or its name, until brev has said which
  if (state.owned) state.instance_name = OwnInstanceName(plan.job_id, config_.daemon_id);
  // Durable before there is an instance: whoever finds it like this looks for it by its name.
  RETURN_IF_ERROR(session.SaveDriverState(state.ToMap()));
  absl::StatusOr<PlatformJob> job = Start(plan, session, state);
  if (job.ok() && !session.cancel().cancelled()) return job;
  absl::Status failed = job.ok() ? CancelledStart(plan.job_id) : job.status();
  if (absl::IsCancelled(failed) && !state.in_doubt) {
    // An instance took minutes: the Stop that follows removes it, or the next daemon goes on.
    config_.tunnels->Close(plan.job_id);
    gpus_.Release(plan.job_id);
    return failed;
  }
  if (const absl::Status removed = Undo(plan.job_id, state); !removed.ok()) {
    failed = absl::Status(
        failed.code(),
        absl::StrFormat("%s. What is left of it could not be removed: %s",
                        base::ToStd(failed.message()), base::ToStd(removed.message())));
  }
  return failed;
}

absl::StatusOr<PlatformJob> BrevPlatform::Start(const launch::LaunchPlan& plan,
                                                LaunchSession& session, BrevState& state) {
  ASSIGN_OR_RETURN(const BrevInstance instance, WaitUsable(plan, session, state));
  state.instance_id = instance.id;
  state.instance_name = instance.name;
  RETURN_IF_ERROR(session.SaveDriverState(state.ToMap()));
  ASSIGN_OR_RETURN(const SshAlias alias, WaitForSsh(instance.name, session));
  const BrevInstanceShell shell = ShellOf(instance.name);
  PlatformJob job = {.job_id = plan.job_id, .host_port = session.host_port()};
  ASSIGN_OR_RETURN(job.instance_port, session.InstancePort(instance.id, /*next=*/false));
  state.container = true;
  ASSIGN_OR_RETURN(const bool runs,
                   AdoptOrClear(shell, plan.job_id, job.instance_port, session.cancel()));
  if (!runs) {
    RETURN_IF_ERROR(PullIfAbsent(plan, shell, session));
    ASSIGN_OR_RETURN(job.instance_port, RunContainer(plan, shell, session, state));
  }
  if (session.cancel().cancelled()) return CancelledStart(plan.job_id);
  RETURN_IF_ERROR(OpenEndpoint(plan, alias, session, job, state));
  job.driver_state = state.ToMap();
  return job;
}

absl::Status BrevPlatform::CreateInstance(const launch::LaunchPlan& plan, LaunchSession& session,
                                          BrevState& state) const {
  BrevCreate create = {.name = state.instance_name,
                       .types = OptionOf(plan, "instance-type"),
                       .workspace_group = OptionOf(plan, "workspace-group"),
                       .cloud_credential = OptionOf(plan, "cloud-credential")};
  if (create.types.empty()) {
    ASSIGN_OR_RETURN(const std::vector<BrevType> offered,
                     cli_.Types(kAskTimeout, &session.cancel()));
    const int gpus = plan.gpus.mode == launch::GpuMode::kNone ? 0 : plan.gpus.count;
    ASSIGN_OR_RETURN(const std::vector<std::string> types, ChooseTypes(offered, gpus, kMostTypes));
    create.types = absl::StrJoin(types, ",");
  }
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kCreateInstance));
  session.ReportPending(
      "CREATING", absl::StrFormat("brev makes instance %s of type %s", create.name, create.types));
  state.in_doubt = true;
  const absl::Status made = cli_.Create(create, kCreateTimeout, &session.cancel());
  state.in_doubt = absl::IsCancelled(made) || absl::IsDeadlineExceeded(made);
  RETURN_IF_ERROR(made);
  return session.EndStep(registry::Step::kCreateInstance);
}

absl::StatusOr<BrevInstance> BrevPlatform::WaitUsable(const launch::LaunchPlan& plan,
                                                      LaunchSession& session,
                                                      BrevState& state) const {
  const std::string& wanted = state.owned ? state.instance_name : state.instance_id;
  const absl::Time deadline = absl::Now() + config_.create_limit;
  base::Backoff looks({.first = absl::Seconds(1), .longest = config_.poll_interval});
  bool created = false;
  absl::Status last = absl::OkStatus();
  do {
    const absl::StatusOr<std::vector<BrevInstance>> all = cli_.List(kAskTimeout, &session.cancel());
    if (!all.ok()) {
      if (!MayPass(all.status())) return all.status();
      last = all.status();
      continue;
    }
    ASSIGN_OR_RETURN(const std::optional<BrevInstance> found, FindInstance(*all, wanted));
    if (!found.has_value() && !state.owned) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "brev lists no instance with the id or name %s. See brev ls, and which organisation is "
          "active; without the option instance-id one is made",
          base::Quoted(wanted)));
    }
    if (!found.has_value()) {
      if (!created) RETURN_IF_ERROR(CreateInstance(plan, session, state));
      created = true;
      last = absl::UnavailableError(
          absl::StrFormat("brev does not list the new instance %s", base::Quoted(wanted)));
      continue;
    }
    switch (UseOf(*found)) {
      case InstanceUse::kUsable:
        return *found;
      case InstanceUse::kStopped:
        return absl::FailedPreconditionError(absl::StrFormat(
            "instance %s is %s. It is not started for you, since it costs money from then on: brev "
            "start %s, then start the service again",
            base::Quoted(found->name), found->status, found->name));
      case InstanceUse::kFailed:
        return absl::ResourceExhaustedError(absl::StrFormat(
            "instance %s could not be made: %s. Start the service again, or with another "
            "--instance-type",
            base::Quoted(found->name), Describe(*found)));
      case InstanceUse::kDeleting:
        return absl::FailedPreconditionError(absl::StrFormat(
            "instance %s is being deleted; name another one", base::Quoted(found->name)));
      case InstanceUse::kUnknown:
      case InstanceUse::kComing:
        break;
    }
    last = absl::UnavailableError(
        absl::StrFormat("instance %s is %s", base::Quoted(found->name), Describe(*found)));
    session.ReportPending(found->status, base::ToStd(last.message()));
  } while (absl::Now() < deadline && WaitUncancelled(session.cancel(), looks.Next()));
  if (session.cancel().cancelled()) return CancelledStart(plan.job_id);
  return absl::DeadlineExceededError(
      absl::StrFormat("instance %s did not run within %s: %s", base::Quoted(wanted),
                      absl::FormatDuration(config_.create_limit), base::ToStd(last.message())));
}

absl::StatusOr<SshAlias> BrevPlatform::WaitForSsh(const std::string& instance_name,
                                                  LaunchSession& session) const {
  const absl::Time deadline = absl::Now() + config_.ssh_limit;
  base::Backoff looks({.first = absl::Seconds(1), .longest = config_.poll_interval});
  const BrevInstanceShell shell = ShellOf(instance_name);
  int refusals = 0;
  absl::Status last;
  do {
    // Each time: the entry comes when the instance runs, and its address can change.
    last = cli_.Refresh(kAskTimeout, &session.cancel());
    if (last.ok()) {
      ASSIGN_OR_RETURN(const std::optional<SshAlias> alias,
                       AliasOf(instance_name, kAskTimeout, &session.cancel()));
      last = alias.has_value() ? shell.Answers(kShellTimeout, &session.cancel())
                               : absl::UnavailableError(absl::StrFormat(
                                     "brev refresh has written no entry for instance %s to %s",
                                     base::Quoted(instance_name), ssh_config_));
      if (last.ok()) return *alias;
    }
    if (absl::IsCancelled(last)) return last;
    if (!MayPass(last) && ++refusals == kSshRefusals) return last;
    session.ReportPending("ssh",
                          absl::StrFormat("waiting for ssh: %s", base::ToStd(last.message())));
  } while (absl::Now() < deadline && WaitUncancelled(session.cancel(), looks.Next()));
  if (session.cancel().cancelled()) return absl::CancelledError("the start was cancelled");
  return absl::DeadlineExceededError(absl::StrFormat(
      "instance %s did not answer by ssh within %s: %s", base::Quoted(instance_name),
      absl::FormatDuration(config_.ssh_limit), base::ToStd(last.message())));
}

absl::StatusOr<bool> BrevPlatform::AdoptOrClear(const BrevInstanceShell& shell,
                                                const std::string& job_id, int instance_port,
                                                const base::CancelToken& cancel) const {
  ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found, shell.Inspect(job_id, &cancel));
  if (!found.has_value()) return false;
  if (!IsOurs(*found, job_id, /*foreign=*/false)) {
    return absl::AlreadyExistsError(absl::StrFormat(
        "on instance %s there is a container named %s that this daemon did not start. See what it "
        "is with docker ps -a there, and remove or rename it",
        base::Quoted(shell.name()), job_id));
  }
  if (found->status == "running" && found->host_port == instance_port) return true;
  RETURN_IF_ERROR(shell.Remove(job_id, &cancel));
  return false;
}

absl::Status BrevPlatform::PullIfAbsent(const launch::LaunchPlan& plan,
                                        const BrevInstanceShell& shell,
                                        LaunchSession& session) const {
  const std::string what =
      absl::StrFormat("service %s: image %s (from %s)", plan.job_id, plan.image, plan.image_source);
  ASSIGN_OR_RETURN(const io::SubprocessResult present,
                   shell.Docker({"image", "inspect", "--format", "{{.Id}}", plan.image},
                                kAskTimeout, &session.cancel()));
  if (present.exit_code == 0) return absl::OkStatus();
  if (FailureOf(present.err) != DockerFailure::kNoImage) {
    return InstanceDockerError(shell.name(), what + " could not be looked up", present.exit_code,
                               present.err);
  }

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kPullImage));
  PullProgress progress(plan.image);
  session.ReportProgress(progress.progress());
  const std::string key = config_.environment("NGC_KEY").value_or("");
  const bool login = plan.image.starts_with(std::string(kNgcRegistry) + "/") && !key.empty();
  io::SshCommand pull;
  pull.command = PullCommand(plan.image, login, plan.job_id);
  if (login) pull.stdin_text = base::Secret(key).Reveal() + "\n";
  pull.timeout = config_.pull_limit;
  pull.cancel = &session.cancel();
  pull.on_line = [&progress, &session](bool, std::string_view line) {
    if (progress.OnLine(line)) session.ReportProgress(progress.progress());
    return true;
  };
  ASSIGN_OR_RETURN(const io::SubprocessResult pulled, shell.Run(pull));
  if (pulled.exit_code != 0) {
    return InstanceDockerError(shell.name(), what + " could not be pulled", pulled.exit_code,
                               pulled.err);
  }
  return session.EndStep(registry::Step::kPullImage);
}

absl::StatusOr<std::vector<std::string>> BrevPlatform::ReserveGpus(
    const launch::LaunchPlan& plan, const BrevInstanceShell& shell,
    const base::CancelToken& cancel) {
  if (plan.gpus.mode == launch::GpuMode::kNone) return std::vector<std::string>();
  const std::string on = absl::StrFormat("instance %s", base::Quoted(shell.name()));
  HostGpus host;
  ASSIGN_OR_RETURN(host.gpus, shell.Gpus(kAskTimeout, &cancel));
  const absl::StatusOr<std::vector<std::string>> usable = ChooseGpuIds(plan.gpus, host);
  if (!usable.ok()) return WithPrefix(on, usable.status());
  ASSIGN_OR_RETURN(std::set<std::string> taken, shell.TakenGpus(kAskTimeout, &cancel));

  return gpus_.Reserve(plan.job_id, shell.name(), *usable, std::move(taken),
                       static_cast<size_t>(plan.gpus.count), on);
}

absl::StatusOr<int> BrevPlatform::RunContainer(const launch::LaunchPlan& plan,
                                               const BrevInstanceShell& shell,
                                               LaunchSession& session, BrevState& state) {
  DockerRunContext context = {.daemon_id = config_.daemon_id, .network = state.network};
  ASSIGN_OR_RETURN(context.host_port, session.InstancePort(state.instance_id, /*next=*/false));
  ASSIGN_OR_RETURN(context.gpu_ids, ReserveGpus(plan, shell, session.cancel()));
  if (const std::string address = OptionOf(plan, "publish-address"); !address.empty()) {
    context.publish_address = address;
  }
  if (!context.gpu_ids.empty()) {
    context.labels.emplace_back(kGpusLabel, absl::StrJoin(context.gpu_ids, ","));
  }
  std::map<std::string, base::Secret> secrets;
  for (const std::string& name : plan.secret_names) {
    const std::optional<std::string> value = config_.environment(name);
    if (!value.has_value()) continue;
    secrets.emplace(name, base::Secret(*value));
    context.secret_names.push_back(name);
  }
  io::SshCommand run;
  ASSIGN_OR_RETURN(run.stdin_text, RenderPreamble(secrets));
  run.timeout = config_.run_limit;
  run.cancel = &session.cancel();
  for (int surprises = 0; surprises < kMaxSurprises;) {
    RETURN_IF_ERROR(session.BeginStep(registry::Step::kRunContainer));
    run.command = RunCommand(RenderRun(plan, context));
    state.in_doubt = true;
    ASSIGN_OR_RETURN(const io::SubprocessResult result, shell.Run(run));
    state.in_doubt = false;
    if (result.exit_code == 0) {
      RETURN_IF_ERROR(session.EndStep(registry::Step::kRunContainer));
      return context.host_port;
    }
    // The engine keeps the container of a start that failed, and it holds the name.
    ASSIGN_OR_RETURN(const bool runs,
                     AdoptOrClear(shell, plan.job_id, context.host_port, session.cancel()));
    if (runs) return context.host_port;  // what a dead daemon's ssh had begun
    switch (FailureOf(result.err)) {
      case DockerFailure::kPortTaken: {
        ASSIGN_OR_RETURN(context.host_port, session.InstancePort(state.instance_id, /*next=*/true));
        continue;
      }
      case DockerFailure::kNameTaken:
      case DockerFailure::kRemovalInProgress:
        ++surprises;
        if (!WaitUncancelled(session.cancel(), absl::Milliseconds(500))) {
          return CancelledStart(plan.job_id);
        }
        continue;
      case DockerFailure::kNoNetwork:
        return shell.NoNetwork(state.network);
      default:
        return InstanceDockerError(shell.name(),
                                   absl::StrFormat("service %s could not be started from image %s",
                                                   plan.job_id, plan.image),
                                   result.exit_code, result.err);
    }
  }
  return absl::UnavailableError(absl::StrFormat(
      "service %s could not be started: its name was taken on instance %s %d times while docker "
      "started it. See who else does that, and start it again",
      plan.job_id, base::Quoted(shell.name()), kMaxSurprises));
}

}  // namespace tao::platforms
