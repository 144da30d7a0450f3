#include "server/platforms/slurm/slurm_launch.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <utility>

#include "server/base/backoff.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/slurm/slurm_render.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

constexpr absl::Duration kSubmitTimeout = absl::Seconds(60);
constexpr absl::Duration kTunnelTimeout = absl::Seconds(30);
constexpr int kTunnelTries = 5;
constexpr int kMaxSubmits = 3;    // of one job, when answers get lost
constexpr int kMaxPortTries = 5;  // jobs, when ports of nodes are taken

std::string TextOf(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

SlurmMarks MarksIn(const SlurmSections& sections) {
  const auto lines = sections.find("marks");
  return lines == sections.end() ? SlurmMarks{} : ParseMarks(lines->second.text);
}

}  // namespace

SlurmLaunch::SlurmLaunch(const SlurmCluster& cluster, const launch::LaunchPlan& plan,
                         SlurmSettings settings, LaunchSession& session)
    : cluster_(cluster),
      config_(cluster.config()),
      plan_(plan),
      settings_(std::move(settings)),
      session_(session),
      state_(session.SavedDriverState()),
      refused_(absl::StrSplit(state_[kSlurmRefused], ',', absl::SkipEmpty())) {}

PlatformJob SlurmLaunch::Job() const {
  return {.job_id = plan_.job_id, .host_port = session_.host_port(), .driver_state = state_};
}

absl::Status SlurmLaunch::Cancelled() const {
  return absl::CancelledError(
      absl::StrFormat("the start of service %s was cancelled", plan_.job_id));
}

bool SlurmLaunch::Wait(base::Backoff& backoff) const {
  return !base::CancelledWithin(session_.cancel(), backoff.Next());
}

absl::Status SlurmLaunch::Save() { return session_.SaveDriverState(state_); }

absl::StatusOr<std::string> SlurmLaunch::Preamble(std::vector<std::string>& names) const {
  std::string lines;
  for (const std::string& name : plan_.secret_names) {
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

absl::StatusOr<std::optional<SlurmJobRef>> SlurmLaunch::FindNewest() const {
  return cluster_.FindNewest(plan_.job_id, refused_, &session_.cancel());
}

absl::StatusOr<std::optional<SlurmJobRef>> SlurmLaunch::AwaitLost(const std::string& why) const {
  session_.ReportPending("submitting", why);
  const absl::Time end = absl::Now() + config_.lost_answer_wait;
  base::Backoff backoff(config_.poll);
  bool asked = false;
  while (!asked || absl::Now() < end) {
    const auto found = FindNewest();
    if (found.ok() && found->has_value()) return *found;
    if (absl::IsFailedPrecondition(found.status())) return found.status();
    asked |= found.ok();  // however long the cluster cannot be asked
    if (absl::IsUnavailable(found.status())) {
      session_.ReportPending("cluster_unreachable",
                             absl::StrFormat("the cluster cannot be asked, and is asked again: %s",
                                             TextOf(found.status())));
    }
    if (!Wait(backoff)) return Cancelled();
  }
  return std::optional<SlurmJobRef>();
}

absl::StatusOr<SlurmJobRef> SlurmLaunch::Submit(int attempt) {
  SlurmJobContext context = {
      .daemon_id = config_.daemon_id, .node_port = NodePort(plan_, attempt), .secret_names = {}};
  ASSIGN_OR_RETURN(std::string input, Preamble(context.secret_names));
  input += RenderScript(plan_, settings_, context);
  const std::string what = absl::StrFormat("service %s could not be submitted", plan_.job_id);
  std::string lost;  // why the last answer is none
  for (int tries = 0; tries < kMaxSubmits; ++tries) {
    // Never cut short by a cancel: what became of it would have to be found out all the same.
    const absl::StatusOr<io::SubprocessResult> result =
        cluster_.Run({.command = RenderSubmit(settings_, /*test_only=*/false),
                      .stdin_text = input,
                      .timeout = kSubmitTimeout,
                      .cancel = nullptr,
                      .on_line = {}});
    if (result.ok() && result->exit_code == 0) {
      if (std::optional<SlurmJobRef> job = ParseSubmit(result->out)) return *job;
    }
    const bool never_in = absl::IsFailedPrecondition(result.status());
    const bool refused = result.ok() && result->exit_code != 0 &&
                         result->exit_code != kTornInputExit &&
                         SlurmFailureOf(result->err) != SlurmFailure::kMaybeSubmitted;
    if (tries == 0 && (never_in || refused)) {
      state_.erase(kSlurmSubmitting);  // there is certainly no job
      RETURN_IF_ERROR(Save());
    }
    if (never_in) return result.status();
    if (refused) return SlurmError(what, result->exit_code, result->err);
    lost = result.ok() ? TextOf(SlurmError(what, result->exit_code, result->err + result->out))
                       : TextOf(result.status());
    ASSIGN_OR_RETURN(
        const std::optional<SlurmJobRef> found,
        AwaitLost(absl::StrFormat(
            "the job was submitted and no answer came (%s); it is looked for by its name", lost)));
    if (found.has_value()) return *found;
  }
  return absl::UnavailableError(absl::StrFormat(
      "%s. It was tried %d times, and no job of that name appeared", lost, kMaxSubmits));
}

absl::StatusOr<SlurmJobRef> SlurmLaunch::FindOrSubmit(int attempt) {
  if (!state_[kSlurmId].empty() && !refused_.contains(state_[kSlurmId])) {
    return SlurmJobRef{.id = state_[kSlurmId], .cluster = state_[kSlurmClusterName]};
  }
  if (state_.contains(kSlurmSubmitting)) {
    // The ssh of a daemon that died is gone, and its sbatch on the login host may not be.
    ASSIGN_OR_RETURN(const std::optional<SlurmJobRef> found,
                     AwaitLost("an earlier daemon submitted the job, and its answer was lost; it "
                               "is looked for by its name"));
    if (found.has_value()) return *found;
  }
  RETURN_IF_ERROR(session_.BeginStep(registry::Step::kSubmitJob));
  state_[kSlurmSubmitting] = "1";
  RETURN_IF_ERROR(Save());
  ASSIGN_OR_RETURN(SlurmJobRef job, Submit(attempt));
  RETURN_IF_ERROR(session_.EndStep(registry::Step::kSubmitJob));
  return job;
}

absl::StatusOr<std::optional<SlurmLaunch::Serving>> SlurmLaunch::EndedEarly(
    const SlurmJobRef& job, const SlurmJobFacts& facts, const SlurmSections& sections) const {
  if (facts.exit_code == kPortTakenExit || MarksIn(sections).taken) {
    return std::optional<Serving>();
  }
  const auto tail = sections.find("tail");
  const std::string why = tail == sections.end() ? "" : ExplainLog(tail->second.text);
  return absl::FailedPreconditionError(
      absl::StrFormat("job %s ended before its container ran: %s%s%s", NameOf(job),
                      ToPlatformState(facts).detail, why.empty() ? "" : ". Its log says: ", why));
}

absl::StatusOr<std::optional<SlurmLaunch::Serving>> SlurmLaunch::AwaitServing(
    const SlurmJobRef& job) const {
  const std::string& log = state_.at(kSlurmLog);
  const std::string watch = RenderWatch(job, settings_, log);
  base::Backoff backoff(config_.poll);
  absl::Time running_since = absl::InfiniteFuture();
  std::string last;
  while (true) {
    std::string said;
    const absl::StatusOr<SlurmSections> sections =
        cluster_.Ask(watch, SlurmCluster::kAskTimeout, &session_.cancel());
    const absl::StatusOr<std::optional<SlurmJobFacts>> facts =
        sections.ok() ? ParseStatus(*sections) : sections.status();
    if (!facts.ok()) {
      said = absl::StrFormat("job %s was submitted; the cluster cannot be asked about it now: %s",
                             NameOf(job), TextOf(facts.status()));
      session_.ReportPending("cluster_unreachable", said);
    } else if (!facts->has_value()) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "job %s is no longer in the cluster: somebody removed it before it ran", NameOf(job)));
    } else if (StateNamed((*facts)->state) == State::kPending) {
      said = absl::StrFormat("job %s %s", NameOf(job),
                             DescribePending(**facts, QueuePosition(*sections)));
      session_.ReportPending((*facts)->reason.empty() ? (*facts)->state : (*facts)->reason, said);
      running_since = absl::InfiniteFuture();
    } else if (StateNamed((*facts)->state) == State::kRunning) {
      running_since = std::min(running_since, absl::Now());
      const SlurmMarks marks = MarksIn(*sections);
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
      session_.ReportPending(marks.port == 0 ? "beginning" : "fetching_image", said);
    } else {
      return EndedEarly(job, **facts, *sections);
    }
    if (said != last) backoff.Reset();  // it moves: look sooner
    last = std::move(said);
    if (!Wait(backoff)) return Cancelled();
  }
}

absl::StatusOr<PlatformJob> SlurmLaunch::Run() {
  state_[kSlurmName] = JobName(plan_.job_id);
  RETURN_IF_ERROR(Save());
  for (int attempt = static_cast<int>(refused_.size()); attempt < kMaxPortTries; ++attempt) {
    ASSIGN_OR_RETURN(const SlurmJobRef job, FindOrSubmit(attempt));
    state_.erase(kSlurmSubmitting);
    state_[kSlurmId] = job.id;
    state_[kSlurmClusterName] = job.cluster;
    if (!state_[kSlurmLog].ends_with(absl::StrFormat("-%s.log", job.id))) {
      state_[kSlurmLog] = LogPath(settings_, plan_.job_id, job.id);
    }
    RETURN_IF_ERROR(Save());
    ASSIGN_OR_RETURN(const std::optional<Serving> serving, AwaitServing(job));
    if (!serving.has_value()) {
      refused_.insert(job.id);
      state_[kSlurmRefused] = absl::StrJoin(refused_, ",");
      if (plan_.inner_command.has_port()) continue;
      return absl::ResourceExhaustedError(absl::StrFormat(
          "job %s got a node on which another program has port %d, the only one that %s can serve "
          "on. Start it again, with --exclusive yes if it was without, or on another --partition",
          NameOf(job), NodePort(plan_, attempt), plan_.network_arch));
    }
    state_[kSlurmNode] = serving->node;
    state_[kSlurmNodePort] = std::to_string(serving->port);
    RETURN_IF_ERROR(Save());
    PlatformJob found = Job();
    RETURN_IF_ERROR(OpenTunnel(found));
    return found;
  }
  return absl::ResourceExhaustedError(absl::StrFormat(
      "service %s was submitted %d times, and each time another program had the port on its node. "
      "Start it again, with --exclusive yes",
      plan_.job_id, kMaxPortTries));
}

absl::Status SlurmLaunch::OpenTunnel(PlatformJob& job) {
  RETURN_IF_ERROR(session_.BeginStep(registry::Step::kOpenTunnel));
  base::Backoff backoff(config_.poll);
  absl::Status opened;
  for (int tries = 0; tries < kTunnelTries; ++tries) {
    ASSIGN_OR_RETURN(TunnelSpec spec, cluster_.TunnelOf(job));
    opened = config_.tunnels->Open(job.job_id, std::move(spec), kTunnelTimeout, session_.cancel());
    if (opened.ok()) return session_.EndStep(registry::Step::kOpenTunnel);
    if (absl::IsCancelled(opened)) return Cancelled();
    if (absl::IsResourceExhausted(opened)) {
      ASSIGN_OR_RETURN(job.host_port, session_.NextPort());
      tries = std::max(tries - 1, -1);  // ports have a limit of their own
      continue;
    }
    if (!absl::IsUnavailable(opened) && !absl::IsDeadlineExceeded(opened)) break;
    if (!Wait(backoff)) return Cancelled();
  }
  return opened;
}

}  // namespace tao::platforms
