#include "server/platforms/slurm/slurm_platform.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "server/base/errors.h"
#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/platforms/slurm/slurm_render.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

// With its controller down, squeue answers after 18 s.
constexpr absl::Duration kAskTimeout = absl::Seconds(40);
constexpr absl::Duration kSubmitTimeout = absl::Seconds(60);
constexpr absl::Duration kTunnelTimeout = absl::Seconds(30);
constexpr int kTunnelTries = 5;
constexpr base::BackoffOptions kStopPoll = {.first = absl::Milliseconds(300),
                                            .longest = absl::Seconds(2)};
constexpr int kMaxSubmits = 3;    // of one job, when answers get lost
constexpr int kMaxPortTries = 5;  // jobs, when ports of nodes are taken

// Keys of driver_state.
constexpr char kName[] = "job_name";
constexpr char kId[] = "slurm_id";
constexpr char kCluster[] = "slurm_cluster";
constexpr char kLog[] = "log";
constexpr char kNode[] = "node";
constexpr char kNodePort[] = "node_port";
constexpr char kForeign[] = "foreign";            // of another tool, with the entry's
constexpr char kForeignId[] = "platform_job_id";  // id; set by server/lifecycle
constexpr char kRefused[] = "refused";            // ids of jobs whose port on the node was taken

std::optional<std::string> RealEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

SlurmConfig Complete(SlurmConfig config) {
  if (!config.environment) config.environment = &RealEnvironment;
  return config;
}

std::string TextOf(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

absl::Status CancelledStart(const std::string& job_id) {
  return absl::CancelledError(absl::StrFormat("the start of service %s was cancelled", job_id));
}

// An answer that did not come is never an answer.
absl::Status CouldNotAsk(const absl::Status& status) {
  return absl::UnavailableError(TextOf(status));
}

std::string At(const PlatformJob& job, const char* key) {
  const auto found = job.driver_state.find(key);
  return found == job.driver_state.end() ? "" : found->second;
}

std::optional<SlurmJobRef> RefOf(const PlatformJob& job) {
  SlurmJobRef ref = {.id = At(job, kId), .cluster = At(job, kCluster)};
  if (ref.id.empty()) return std::nullopt;
  return ref;
}

bool IsAlive(std::string_view state) {
  // A word that is not in the table may mean anything but "gone".
  const std::optional<State> known = StateNamed(state);
  return !known.has_value() || *known == State::kPending || *known == State::kRunning;
}

std::string NameOf(const SlurmJobRef& job) {
  return job.cluster.empty() ? job.id : absl::StrFormat("%s of cluster %s", job.id, job.cluster);
}

// The text of a section that must have been answered.
absl::StatusOr<std::string> Answer(const SlurmSections& sections, std::string_view name) {
  const auto found = sections.find(name);
  if (found == sections.end()) {
    return absl::UnavailableError(
        absl::StrFormat("the login host's answer broke off before %s", name));
  }
  if (found->second.exit_code != 0) {
    return CouldNotAsk(SlurmError(absl::StrFormat("%s could not be asked", name),
                                  found->second.exit_code, found->second.text));
  }
  return found->second.text;
}

}  // namespace

struct SlurmPlatform::Start {
  const launch::LaunchPlan& plan;
  const SlurmSettings settings;
  LaunchSession& session;
  std::map<std::string, std::string> state;  // what is saved
  bool submitted_before;                     // a job may exist already
  std::set<std::string> refused = {};        // ids of jobs whose port was taken

  const base::CancelToken* cancel() const { return &session.cancel(); }
};

SlurmPlatform::SlurmPlatform(SlurmConfig config) : config_(Complete(std::move(config))) {}

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

io::SshTarget SlurmPlatform::TargetOf(const SlurmLogin& login, size_t host) const {
  io::SshTarget target;
  target.user = login.user;
  target.host = login.hosts[host % login.hosts.size()];
  target.identity_file = login.key_file;
  target.config_file = login.ssh_config;
  target.unset_env = config_.secret_names;
  target.program = config_.ssh_program;
  return target;
}

absl::StatusOr<io::SubprocessResult> SlurmPlatform::Run(io::SshCommand command) const {
  ASSIGN_OR_RETURN(const SlurmLogin login, ReadLogin(config_.environment));
  const size_t first = host_.load();
  std::vector<std::string> failures;
  bool reachable = false;  // a host that is only out of reach now
  // Half a log of one host is not to be followed by the whole one of another.
  const size_t hosts = command.on_line ? 1 : login.hosts.size();
  const absl::Time end = absl::Now() + command.timeout;
  for (size_t i = 0; i < hosts; ++i) {
    if (command.timeout != absl::InfiniteDuration()) {
      command.timeout = std::max(end - absl::Now(), absl::Milliseconds(1));
    }
    absl::StatusOr<io::SubprocessResult> result = io::RunSsh(TargetOf(login, first + i), command);
    if (result.ok()) {
      host_ = (first + i) % login.hosts.size();
      return result;
    }
    if (absl::IsNotFound(result.status())) {
      return absl::FailedPreconditionError(
          absl::StrFormat("platform slurm needs the program %s in the server's PATH (Debian: "
                          "apt-get install openssh-client)",
                          base::Quoted(config_.ssh_program)));
    }
    if (absl::IsCancelled(result.status())) return result;
    reachable |= !absl::IsFailedPrecondition(result.status());
    failures.push_back(TextOf(result.status()));
    if (absl::Now() >= end) break;
  }
  const std::string text = absl::StrFormat(
      "%s (SLURM_USER, SLURM_HOSTNAME and SSH_KEY_PATH say who, where and with which key)",
      absl::StrJoin(failures, "; "));
  if (reachable) return absl::UnavailableError(text);
  return absl::FailedPreconditionError(text);
}

absl::StatusOr<SlurmSections> SlurmPlatform::Ask(const std::string& command, absl::Duration timeout,
                                                 const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run({.command = command,
                                                           .stdin_text = "",
                                                           .timeout = timeout,
                                                           .cancel = cancel,
                                                           .on_line = {}}));
  return ParseSections(result.out);
}

absl::StatusOr<std::string> SlurmPlatform::Preamble(const launch::LaunchPlan& plan,
                                                    std::vector<std::string>& names) const {
  std::string lines;
  for (const std::string& name : plan.secret_names) {
    const std::optional<std::string> value = config_.environment(name);
    if (!value.has_value()) continue;
    if (value->find_first_of(std::string_view("\n\0", 2)) != std::string::npos) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "%s of the server's environment has a line break in it, and platform slurm hands it on "
          "as one line: correct it, and restart the server",
          name));
    }
    names.push_back(name);
    lines += name + "=" + *value + "\n";
  }
  return lines + "\n";
}

absl::StatusOr<std::optional<SlurmJobRef>> SlurmPlatform::FindNewest(
    const std::string& job_id, const std::set<std::string>& refused,
    const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const SlurmSections sections,
                   Ask(RenderFind(JobName(job_id), "", /*ended=*/true), kAskTimeout, cancel));
  ASSIGN_OR_RETURN(std::string lines, Answer(sections, "squeue"));
  // A cluster without accounting has none to tell of.
  if (const auto ended = sections.find("sacct"); ended != sections.end()) {
    lines += ended->second.text;
  }
  std::optional<SlurmJobRef> newest;
  std::set<std::string> alive;
  int64_t newest_id = 0;
  for (const SlurmNamedJob& found : ParseNamed(lines)) {
    int64_t id = 0;
    if (found.name != JobName(job_id) || refused.contains(found.job.id) ||
        !absl::SimpleAtoi(found.job.id, &id)) {
      continue;
    }
    if (IsAlive(found.state)) alive.insert(found.job.id);
    if (id >= newest_id) newest = found.job;
    newest_id = std::max(id, newest_id);
  }
  if (alive.size() > 1) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "several jobs of the cluster are called %s: %s. They are cancelled; start the service "
        "again",
        JobName(job_id), absl::StrJoin(alive, ", ")));
  }
  return newest;
}

absl::StatusOr<SlurmJobRef> SlurmPlatform::Submit(Start& start, int attempt) const {
  SlurmJobContext context = {.daemon_id = config_.daemon_id,
                             .node_port = NodePort(start.plan, attempt),
                             .secret_names = {}};
  ASSIGN_OR_RETURN(std::string input, Preamble(start.plan, context.secret_names));
  input += RenderScript(start.plan, start.settings, context);
  const std::string what = absl::StrFormat("service %s could not be submitted", start.plan.job_id);
  RETURN_IF_ERROR(start.session.BeginStep(registry::Step::kSubmitJob));
  std::string lost;  // why the last answer is none
  for (int tries = 0; tries < kMaxSubmits; ++tries) {
    // Never cut short by a cancel: what became of it would have to be found out all the same.
    const absl::StatusOr<io::SubprocessResult> result =
        Run({.command = RenderSubmit(start.settings, /*test_only=*/false),
             .stdin_text = input,
             .timeout = kSubmitTimeout,
             .cancel = nullptr,
             .on_line = {}});
    if (absl::IsFailedPrecondition(result.status())) return result.status();  // never got in
    if (result.ok() && result->exit_code == 0) {
      if (std::optional<SlurmJobRef> job = ParseSubmit(result->out)) return *job;
    }
    if (result.ok() && result->exit_code != 0 && result->exit_code != kTornInputExit &&
        SlurmFailureOf(result->err) != SlurmFailure::kMaybeSubmitted) {
      return SlurmError(what, result->exit_code, result->err);
    }
    lost = result.ok() ? TextOf(SlurmError(what, result->exit_code, result->err + result->out))
                       : TextOf(result.status());
    start.session.ReportPending(
        "submitting",
        absl::StrFormat(
            "the job was submitted and no answer came (%s); it is looked for by its name", lost));
    const absl::Time end = absl::Now() + config_.lost_answer_wait;
    base::Backoff backoff(config_.poll);
    bool asked = false;
    while (!asked || absl::Now() < end) {
      const auto found = FindNewest(start.plan.job_id, start.refused, start.cancel());
      if (found.ok() && found->has_value()) return **found;
      if (absl::IsFailedPrecondition(found.status())) return found.status();
      asked |= found.ok();  // however long the cluster cannot be asked
      if (base::CancelledWithin(start.session.cancel(), backoff.Next()))
        return CancelledStart(start.plan.job_id);
    }
  }
  return absl::UnavailableError(absl::StrFormat(
      "%s. It was tried %d times, and no job of that name appeared", lost, kMaxSubmits));
}

absl::StatusOr<SlurmJobRef> SlurmPlatform::FindOrSubmit(Start& start, int attempt) const {
  if (!start.state[kId].empty() && !start.refused.contains(start.state[kId])) {
    return SlurmJobRef{.id = start.state[kId], .cluster = start.state[kCluster]};
  }
  // What a dead daemon submitted, if it came so far.
  base::Backoff backoff(config_.poll);
  while (start.submitted_before) {
    const auto found = FindNewest(start.plan.job_id, start.refused, start.cancel());
    if (found.ok() && found->has_value()) return **found;
    if (found.ok()) break;
    if (!absl::IsUnavailable(found.status()) && !absl::IsDeadlineExceeded(found.status())) {
      return found.status();
    }
    start.session.ReportPending(
        "cluster_unreachable",
        absl::StrFormat("the cluster cannot be asked, and is asked again: %s",
                        TextOf(found.status())));
    if (base::CancelledWithin(start.session.cancel(), backoff.Next()))
      return CancelledStart(start.plan.job_id);
  }
  start.submitted_before = true;
  ASSIGN_OR_RETURN(SlurmJobRef job, Submit(start, attempt));
  RETURN_IF_ERROR(start.session.EndStep(registry::Step::kSubmitJob));
  return job;
}

absl::StatusOr<std::optional<SlurmPlatform::Serving>> SlurmPlatform::EndedEarly(
    const SlurmJobRef& job, const SlurmJobFacts& facts, const SlurmSections& sections) const {
  const auto marks = sections.find("marks");
  const bool taken = marks != sections.end() && ParseMarks(marks->second.text).taken;
  if (facts.exit_code == kPortTakenExit || taken) return std::optional<Serving>();
  const auto tail = sections.find("tail");
  const std::string why = tail == sections.end() ? "" : ExplainLog(tail->second.text);
  return absl::FailedPreconditionError(
      absl::StrFormat("job %s ended before its container ran: %s%s%s", NameOf(job),
                      ToPlatformState(facts).detail, why.empty() ? "" : ". Its log says: ", why));
}

absl::StatusOr<std::optional<SlurmPlatform::Serving>> SlurmPlatform::AwaitServing(
    Start& start, const SlurmJobRef& job) const {
  const std::string& log = start.state[kLog];
  const std::string watch = RenderWatch(job, start.settings, log);
  base::Backoff backoff(config_.poll);
  absl::Time running_since = absl::InfiniteFuture();
  std::string last;
  while (true) {
    std::string said;
    const absl::StatusOr<SlurmSections> sections = Ask(watch, kAskTimeout, start.cancel());
    const absl::StatusOr<std::optional<SlurmJobFacts>> facts =
        sections.ok() ? ParseStatus(*sections) : sections.status();
    if (!facts.ok()) {
      said = absl::StrFormat("job %s was submitted; the cluster cannot be asked about it now: %s",
                             NameOf(job), TextOf(facts.status()));
      start.session.ReportPending("cluster_unreachable", said);
    } else if (!facts->has_value()) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "job %s is no longer in the cluster: somebody removed it before it ran", NameOf(job)));
    } else if (StateNamed((*facts)->state) == State::kPending) {
      said = absl::StrFormat("job %s %s", NameOf(job),
                             DescribePending(**facts, QueuePosition(*sections)));
      start.session.ReportPending((*facts)->reason.empty() ? (*facts)->state : (*facts)->reason,
                                  said);
      running_since = absl::InfiniteFuture();
    } else if ((*facts)->state == "RUNNING" || StateNamed((*facts)->state) == State::kRunning) {
      running_since = std::min(running_since, absl::Now());
      const auto lines = sections->find("marks");
      const SlurmMarks marks =
          lines == sections->end() ? SlurmMarks{} : ParseMarks(lines->second.text);
      if (marks.container && !marks.taken && (*facts)->state == "RUNNING" &&
          !(*facts)->batch_host.empty()) {
        return std::optional<Serving>({.node = (*facts)->batch_host, .port = marks.port});
      }
      if (marks.port == 0 && absl::Now() - running_since > config_.log_wait) {
        return absl::FailedPreconditionError(absl::StrFormat(
            "job %s runs on node %s, and its log %s does not appear on the login host. The folder "
            "must be on storage that both share: name one with --output-dir, or "
            "SLURM_BASE_RESULTS_DIR",
            NameOf(job), (*facts)->batch_host, base::Quoted(log)));
      }
      said = absl::StrFormat(
          "job %s is %s on node %s; %s", NameOf(job), (*facts)->state, (*facts)->batch_host,
          marks.port == 0 ? "it begins" : "its container image is being fetched");
      start.session.ReportPending(marks.port == 0 ? "beginning" : "fetching_image", said);
    } else {
      return EndedEarly(job, **facts, *sections);
    }
    if (said != last) backoff.Reset();  // it moves: look sooner
    last = std::move(said);
    if (base::CancelledWithin(start.session.cancel(), backoff.Next()))
      return CancelledStart(start.plan.job_id);
  }
}

absl::StatusOr<PlatformJob> SlurmPlatform::LaunchUntilServing(Start& start) const {
  std::string where;
  for (int attempt = 0; attempt < kMaxPortTries; ++attempt) {
    ASSIGN_OR_RETURN(const SlurmJobRef job, FindOrSubmit(start, attempt));
    start.state[kId] = job.id;
    start.state[kCluster] = job.cluster;
    if (!start.state[kLog].ends_with(absl::StrFormat("-%s.log", job.id))) {
      start.state[kLog] = LogPath(start.settings, start.plan.job_id, job.id);
    }
    RETURN_IF_ERROR(start.session.SaveDriverState(start.state));
    ASSIGN_OR_RETURN(const std::optional<Serving> serving, AwaitServing(start, job));
    if (!serving.has_value()) {
      start.refused.insert(job.id);
      start.state[kRefused] = absl::StrJoin(start.refused, ",");
      if (start.plan.inner_command.has_port()) continue;
      return absl::ResourceExhaustedError(absl::StrFormat(
          "job %s got a node on which another program has port %d, the only one that %s can serve "
          "on. Start it again, with --exclusive yes if it was without, or on another --partition",
          NameOf(job), NodePort(start.plan, attempt), start.plan.network_arch));
    }
    start.state[kNode] = serving->node;
    start.state[kNodePort] = std::to_string(serving->port);
    RETURN_IF_ERROR(start.session.SaveDriverState(start.state));
    PlatformJob found = {.job_id = start.plan.job_id, .driver_state = start.state};
    RETURN_IF_ERROR(OpenTunnel(start, found));
    return found;
  }
  return absl::ResourceExhaustedError(absl::StrFormat(
      "service %s was submitted %d times, and each time another program had the port on its node. "
      "Start it again, with --exclusive yes",
      start.plan.job_id, kMaxPortTries));
}

absl::Status SlurmPlatform::OpenTunnel(Start& start, PlatformJob& job) const {
  RETURN_IF_ERROR(start.session.BeginStep(registry::Step::kOpenTunnel));
  job.host_port = start.session.host_port();
  base::Backoff backoff(config_.poll);
  absl::Status opened;
  for (int tries = 0; tries < kTunnelTries; ++tries) {
    ASSIGN_OR_RETURN(TunnelSpec spec, TunnelOf(job));
    opened =
        config_.tunnels->Open(job.job_id, std::move(spec), kTunnelTimeout, start.session.cancel());
    if (opened.ok()) return start.session.EndStep(registry::Step::kOpenTunnel);
    if (absl::IsCancelled(opened)) return CancelledStart(job.job_id);
    if (absl::IsResourceExhausted(opened)) {
      ASSIGN_OR_RETURN(job.host_port, start.session.NextPort());
      tries = std::max(tries - 1, -1);  // ports have a limit of their own
      continue;
    }
    if (!absl::IsUnavailable(opened) && !absl::IsDeadlineExceeded(opened)) break;
    if (base::CancelledWithin(start.session.cancel(), backoff.Next()))
      return CancelledStart(job.job_id);
  }
  return opened;
}

absl::StatusOr<PlatformJob> SlurmPlatform::Launch(const launch::LaunchPlan& plan,
                                                  LaunchSession& session) {
  ASSIGN_OR_RETURN(SlurmSettings settings,
                   ReadSettings(plan.platform_options, config_.environment));
  Start start = {.plan = plan,
                 .settings = std::move(settings),
                 .session = session,
                 .state = session.SavedDriverState(),
                 .submitted_before = false};
  start.submitted_before = start.state.contains(kName);
  start.refused = absl::StrSplit(start.state[kRefused], ',', absl::SkipEmpty());
  start.state[kName] = JobName(plan.job_id);
  RETURN_IF_ERROR(session.SaveDriverState(start.state));
  absl::StatusOr<PlatformJob> job = LaunchUntilServing(start);
  if (job.ok() || session.cancel().cancelled()) {
    if (job.ok() || absl::IsCancelled(job.status())) return job;
    return CancelledStart(plan.job_id);
  }
  config_.tunnels->Close(plan.job_id);
  const absl::Status removed = Cancel({.job_id = plan.job_id, .driver_state = start.state});
  if (removed.ok()) return job;
  return absl::Status(job.status().code(),
                      absl::StrFormat("%s. What is left of it could not be removed: %s",
                                      TextOf(job.status()), TextOf(removed)));
}

absl::StatusOr<TunnelSpec> SlurmPlatform::TunnelOf(const PlatformJob& job) const {
  ASSIGN_OR_RETURN(const SlurmLogin login, ReadLogin(config_.environment));
  const std::string node = At(job, kNode), port = At(job, kNodePort);
  if (node.empty() || port.empty() || job.host_port == 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("service %s has no node to open a tunnel to", job.job_id));
  }
  const io::SshTarget target = TargetOf(login, host_.load());
  TunnelSpec spec;
  spec.argv = io::SshForwardArgv(target, job.host_port, absl::StrFormat("%s:%s", node, port));
  spec.unset_env = config_.secret_names;
  spec.local_port = job.host_port;
  spec.explain = [target](std::string_view err) { return io::SshError(target, err); };
  return spec;
}

void SlurmPlatform::Adopt(const PlatformJob& job) {
  absl::StatusOr<TunnelSpec> spec = TunnelOf(job);
  if (spec.ok()) config_.tunnels->Adopt(job.job_id, *std::move(spec));
}

absl::StatusOr<PlatformState> SlurmPlatform::Observe(const PlatformJob& job) {
  const std::optional<SlurmJobRef> ref = RefOf(job);
  if (!ref.has_value()) {
    return absl::UnavailableError(
        absl::StrFormat("service %s has no job on the cluster yet", job.job_id));
  }
  const absl::StatusOr<SlurmSections> sections = Ask(RenderStatus(*ref), kAskTimeout, nullptr);
  if (!sections.ok()) return CouldNotAsk(sections.status());
  ASSIGN_OR_RETURN(const std::optional<SlurmJobFacts> facts, ParseStatus(*sections));
  if (!facts.has_value()) {
    return PlatformState{
        .state = State::kGone, .detail = absl::StrFormat("job %s", NameOf(*ref)), .exit_code = {}};
  }
  PlatformState state = ToPlatformState(*facts);
  if (state.state == State::kFailed && facts->exit_code == kPortTakenExit) {
    state.detail += absl::StrFormat(": another program took port %s of node %s", At(job, kNodePort),
                                    At(job, kNode));
  }
  // Its login host may be down while another one answers.
  if (state.state == State::kRunning && !At(job, kNode).empty() &&
      !config_.tunnels->StateOf(job.job_id).ok()) {
    Adopt(job);
  }
  return state;
}

Platform::Endpoint SlurmPlatform::EndpointOf(const PlatformJob& job) const {
  Endpoint endpoint;
  endpoint.host_url = absl::StrFormat("http://localhost:%d", job.host_port);
  endpoint.platform_job_id = At(job, kId);
  endpoint.slurm_node = At(job, kNode);
  endpoint.backend.host = "127.0.0.1";
  endpoint.backend.port = job.host_port;
  endpoint.backend.authority = absl::StrFormat("localhost:%d", job.host_port);
  return endpoint;
}

absl::StatusOr<std::vector<SlurmJobRef>> SlurmPlatform::FindForeign(const PlatformJob& job) const {
  const std::optional<SlurmJobRef> ref = ParseSubmit(At(job, kForeignId));
  if (!ref.has_value()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the registry entry of service %s has no platform_job_id that is a job of Slurm: %s. End "
        "it with the tool that started it",
        job.job_id, base::Quoted(At(job, kForeignId))));
  }
  ASSIGN_OR_RETURN(const SlurmSections sections, Ask(RenderStatus(*ref), kAskTimeout, nullptr));
  ASSIGN_OR_RETURN(const std::optional<SlurmJobFacts> facts, ParseStatus(sections));
  std::vector<SlurmJobRef> alive;
  if (facts.has_value() && IsAlive(facts->state)) alive.push_back(*ref);
  return alive;
}

absl::StatusOr<std::vector<SlurmJobRef>> SlurmPlatform::FindAlive(const PlatformJob& job) const {
  if (job.driver_state.contains(kForeign)) return FindForeign(job);
  const std::string cluster = At(job, kCluster);
  ASSIGN_OR_RETURN(
      const SlurmSections sections,
      Ask(RenderFind(JobName(job.job_id), cluster, /*ended=*/false), kAskTimeout, nullptr));
  ASSIGN_OR_RETURN(const std::string lines, Answer(sections, "squeue"));
  std::vector<SlurmJobRef> alive;
  for (const SlurmNamedJob& found : ParseNamed(lines)) {
    if (found.name != JobName(job.job_id) || !IsAlive(found.state)) continue;
    // Another daemon's job of this name can only be an entry of the registry file that went round.
    if (!found.comment.empty() && found.comment.starts_with("tao-daemon=") &&
        found.comment != DaemonComment(config_.daemon_id)) {
      continue;
    }
    alive.push_back({.id = found.job.id, .cluster = cluster});
  }
  return alive;
}

absl::Status SlurmPlatform::Cancel(const PlatformJob& job) const {
  const absl::Time end = absl::Now() + config_.stop_wait;
  base::Backoff backoff(kStopPoll);
  std::set<std::string> told;
  while (true) {
    absl::StatusOr<std::vector<SlurmJobRef>> alive = FindAlive(job);
    if (!alive.ok()) return CouldNotAsk(alive.status());
    if (alive->empty()) return absl::OkStatus();
    std::vector<SlurmJobRef> fresh;
    for (const SlurmJobRef& each : *alive) {
      if (told.insert(each.id).second) fresh.push_back(each);
    }
    if (!fresh.empty()) {
      ASSIGN_OR_RETURN(const SlurmSections sections,
                       Ask(RenderCancel(fresh), kAskTimeout, nullptr));
      const auto said = sections.find("scancel");
      // rc 0 proves nothing, so the next look tells; only a refusal ends it.
      if (said != sections.end() && said->second.exit_code != 0) {
        const SlurmFailure failure = SlurmFailureOf(said->second.text);
        if (failure != SlurmFailure::kNoSuchJob && failure != SlurmFailure::kJobIsOver) {
          return SlurmError(absl::StrFormat("job %s could not be cancelled", NameOf(fresh.front())),
                            said->second.exit_code, said->second.text);
        }
      }
    }
    if (absl::Now() >= end) {
      return absl::UnavailableError(
          absl::StrFormat("job %s is cancelled and still completing on its node; it is asked again",
                          NameOf(alive->front())));
    }
    absl::SleepFor(backoff.Next());
  }
}

absl::Status SlurmPlatform::Stop(const PlatformJob& job, const StopOptions& /*options*/,
                                 StopSession& session) {
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kCloseTunnel));
  config_.tunnels->Close(job.job_id);
  RETURN_IF_ERROR(session.EndStep(registry::Step::kCloseTunnel));
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kEndJob));
  RETURN_IF_ERROR(Cancel(job));  // SIGTERM, and SIGKILL after the cluster's KillWait
  return session.EndStep(registry::Step::kEndJob);
}

absl::Status SlurmPlatform::StreamLogs(const PlatformJob& job, const LogOptions& options,
                                       LogSink& sink, const base::CancelToken& cancel) {
  const std::optional<SlurmJobRef> ref = RefOf(job);
  const std::string log = At(job, kLog);
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
  const absl::StatusOr<io::SubprocessResult> result = Run(std::move(read));
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
  ASSIGN_OR_RETURN(const SlurmSections sections, Ask(RenderFindOurs(), kAskTimeout, nullptr));
  ASSIGN_OR_RETURN(const std::string lines, Answer(sections, "squeue"));
  for (const SlurmNamedJob& job : ParseNamed(lines)) {
    if (job.comment != DaemonComment(config_.daemon_id)) continue;
    if (!job.name.starts_with("tao-") || !base::IsUuid(job.name.substr(4))) continue;
    SlurmJobFacts facts;
    facts.state = job.state;
    found.push_back({.job_id = job.name.substr(4), .state = ToPlatformState(facts)});
  }
  return found;
}

}  // namespace tao::platforms
