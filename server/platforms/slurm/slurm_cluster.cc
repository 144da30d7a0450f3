#include "server/platforms/slurm/slurm_cluster.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/slurm/slurm_render.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

constexpr base::BackoffOptions kEndPoll = {.first = absl::Milliseconds(300),
                                           .longest = absl::Seconds(2)};
// Of another tool: set by server/lifecycle, with the id of the entry.
constexpr char kForeign[] = "foreign";
constexpr char kForeignId[] = "platform_job_id";

std::string TextOf(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

std::optional<std::string> RealEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

SlurmConfig Complete(SlurmConfig config) {
  if (!config.environment) config.environment = &RealEnvironment;
  return config;
}

bool IsAlive(std::string_view state) {
  // A word that is not in the table may mean anything but "gone".
  const std::optional<State> known = StateNamed(state);
  return !known.has_value() || *known == State::kPending || *known == State::kRunning;
}

}  // namespace

std::string ValueIn(const PlatformJob& job, const char* key) {
  const auto found = job.driver_state.find(key);
  return found == job.driver_state.end() ? "" : found->second;
}

std::optional<SlurmJobRef> RefOf(const PlatformJob& job) {
  SlurmJobRef ref = {.id = ValueIn(job, kSlurmId), .cluster = ValueIn(job, kSlurmClusterName)};
  if (ref.id.empty()) return std::nullopt;
  return ref;
}

absl::StatusOr<SlurmJobRef> ForeignRefOf(const PlatformJob& job) {
  const std::string id = ValueIn(job, kForeignId);
  if (std::optional<SlurmJobRef> ref = ParseSubmit(id); ref.has_value()) return *std::move(ref);
  return absl::FailedPreconditionError(absl::StrFormat(
      "service %s was started by another tool, and its registry entry has %s as platform_job_id, "
      "which must be the job's id in Slurm to stop it. End it with the tool that started it",
      job.job_id, id.empty() ? "nothing" : base::Quoted(id)));
}

std::string NameOf(const SlurmJobRef& job) {
  return job.cluster.empty() ? job.id : absl::StrFormat("%s of cluster %s", job.id, job.cluster);
}

absl::Status CouldNotAsk(const absl::Status& status) {
  return absl::UnavailableError(TextOf(status));
}

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

SlurmCluster::SlurmCluster(SlurmConfig config) : config_(Complete(std::move(config))) {}

io::SshTarget SlurmCluster::TargetOf(const SlurmLogin& login, size_t host) const {
  io::SshTarget target;
  target.user = login.user;
  target.host = login.hosts[host % login.hosts.size()];
  target.identity_file = login.key_file;
  target.config_file = login.ssh_config;
  target.unset_env = config_.secret_names;
  target.program = config_.ssh_program;
  return target;
}

absl::StatusOr<io::SubprocessResult> SlurmCluster::Run(io::SshCommand command) const {
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

absl::StatusOr<SlurmSections> SlurmCluster::Ask(const std::string& command, absl::Duration timeout,
                                                const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const io::SubprocessResult result, Run({.command = command,
                                                           .stdin_text = "",
                                                           .timeout = timeout,
                                                           .cancel = cancel,
                                                           .on_line = {}}));
  return ParseSections(result.out);
}

absl::StatusOr<TunnelSpec> SlurmCluster::TunnelOf(const PlatformJob& job) const {
  ASSIGN_OR_RETURN(const SlurmLogin login, ReadLogin(config_.environment));
  const std::string node = ValueIn(job, kSlurmNode), port = ValueIn(job, kSlurmNodePort);
  if (node.empty() || port.empty() || job.host_port == 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("service %s has no node to open a tunnel to", job.job_id));
  }
  const io::SshTarget target = Target(login);
  TunnelSpec spec;
  spec.argv = io::SshForwardArgv(target, job.host_port, absl::StrFormat("%s:%s", node, port));
  spec.unset_env = config_.secret_names;
  spec.local_port = job.host_port;
  spec.explain = [target](std::string_view err) { return io::SshError(target, err); };
  return spec;
}

absl::StatusOr<std::optional<SlurmJobRef>> SlurmCluster::FindNewest(
    const std::string& job_id, const std::set<std::string>& refused,
    const base::CancelToken* cancel) const {
  const absl::StatusOr<SlurmSections> sections =
      Ask(RenderFind(JobName(job_id), "", /*ended=*/true), kAskTimeout, cancel);
  if (absl::IsCancelled(sections.status())) return sections.status();
  if (!sections.ok()) return CouldNotAsk(sections.status());
  ASSIGN_OR_RETURN(std::string lines, Answer(*sections, "squeue"));
  // A cluster without accounting has none to tell of.
  if (const auto ended = sections->find("sacct"); ended != sections->end()) {
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

absl::StatusOr<std::vector<SlurmJobRef>> SlurmCluster::FindForeign(
    const PlatformJob& job, const base::CancelToken& cancel) const {
  ASSIGN_OR_RETURN(const SlurmJobRef ref, ForeignRefOf(job));
  ASSIGN_OR_RETURN(const SlurmSections sections, Ask(RenderStatus(ref), kAskTimeout, &cancel));
  ASSIGN_OR_RETURN(const std::optional<SlurmJobFacts> facts, ParseStatus(sections));
  std::vector<SlurmJobRef> alive;
  if (facts.has_value() && IsAlive(facts->state)) alive.push_back(ref);
  return alive;
}

absl::StatusOr<std::vector<SlurmJobRef>> SlurmCluster::FindAlive(
    const PlatformJob& job, const base::CancelToken& cancel) const {
  if (job.driver_state.contains(kForeign)) return FindForeign(job, cancel);
  const std::string cluster = ValueIn(job, kSlurmClusterName);
  ASSIGN_OR_RETURN(
      const SlurmSections sections,
      Ask(RenderFind(JobName(job.job_id), cluster, /*ended=*/false), kAskTimeout, &cancel));
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

absl::Status SlurmCluster::Cancel(const std::vector<SlurmJobRef>& jobs,
                                  const base::CancelToken& cancel) const {
  ASSIGN_OR_RETURN(const SlurmSections sections, Ask(RenderCancel(jobs), kAskTimeout, &cancel));
  const auto said = sections.find("scancel");
  // rc 0 proves nothing, so the next look tells; only a refusal ends it.
  if (said == sections.end() || said->second.exit_code == 0) return absl::OkStatus();
  const SlurmFailure failure = SlurmFailureOf(said->second.text);
  if (failure == SlurmFailure::kNoSuchJob || failure == SlurmFailure::kJobIsOver) {
    return absl::OkStatus();
  }
  return SlurmError(absl::StrFormat("job %s could not be cancelled", NameOf(jobs.front())),
                    said->second.exit_code, said->second.text);
}

absl::Status SlurmCluster::End(const PlatformJob& job, absl::Duration limit,
                               const base::CancelToken& cancel) const {
  const absl::Time begin = absl::Now();
  // A submission that was not answered may still be on its way through the login host.
  const bool in_doubt = !ValueIn(job, kSlurmSubmitting).empty();
  base::Backoff backoff(kEndPoll);
  std::set<std::string> told;
  while (true) {
    const absl::StatusOr<std::vector<SlurmJobRef>> alive = FindAlive(job, cancel);
    if (absl::IsCancelled(alive.status())) return alive.status();
    if (!alive.ok()) return CouldNotAsk(alive.status());
    if (alive->empty() &&
        (!in_doubt || !told.empty() || absl::Now() - begin >= config_.lost_answer_wait)) {
      return absl::OkStatus();
    }
    std::vector<SlurmJobRef> fresh;
    for (const SlurmJobRef& each : *alive) {
      if (told.insert(each.id).second) fresh.push_back(each);
    }
    if (!fresh.empty()) RETURN_IF_ERROR(Cancel(fresh, cancel));
    if (!alive->empty() && absl::Now() - begin >= limit) {
      return absl::UnavailableError(
          absl::StrFormat("job %s is cancelled and still completing on its node; it is asked again",
                          NameOf(alive->front())));
    }
    if (base::CancelledWithin(cancel, backoff.Next())) {
      return absl::CancelledError(
          absl::StrFormat("the end of service %s was not waited for", job.job_id));
    }
  }
}

}  // namespace tao::platforms
