#include "server/platforms/slurm/slurm_parse.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <absl/strings/strip.h>

#include <algorithm>
#include <cstdio>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

constexpr std::string_view kMark = "tao-inference: port ";
constexpr int kSigKill = 9;

std::vector<absl::string_view> LinesOf(std::string_view text) {
  return absl::StrSplit(base::ToAbsl(text), '\n', absl::SkipWhitespace());
}

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "CANCELLED by 1234" -> "CANCELLED".
std::string FirstWord(absl::string_view text) {
  text = absl::StripLeadingAsciiWhitespace(text);
  return std::string(text.substr(0, text.find_first_of(" \t+")));
}

// What Slurm prints where there is nothing to print.
std::string Unless(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  for (const absl::string_view nothing : {"n/a", "N/A", "(null)", "None assigned", "Unknown"}) {
    if (text == nothing) return "";
  }
  return std::string(text);
}

// "9:0", as code and signal.
void ReadExitCode(absl::string_view text, SlurmJobFacts& facts) {
  const std::pair<absl::string_view, absl::string_view> both =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  int code = 0, signal = 0;
  if (!absl::SimpleAtoi(both.first, &code) || !absl::SimpleAtoi(both.second, &signal)) return;
  facts.exit_code = code;
  facts.signal = signal;
}

const SlurmSection* Find(const SlurmSections& sections, std::string_view name) {
  const auto found = sections.find(name);
  return found == sections.end() ? nullptr : &found->second;
}

// The row of squeue -o '%T|%B|%N|%r|%S'.
std::optional<SlurmJobFacts> QueueRow(std::string_view text) {
  for (const absl::string_view line : LinesOf(text)) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, '|');
    if (fields.size() != 5) continue;  // "CLUSTER: c1", a warning
    SlurmJobFacts facts;
    facts.state = FirstWord(fields[0]);
    facts.batch_host = Unless(fields[1]);
    facts.reason = Unless(fields[3]);
    facts.expected_start = Unless(fields[4]);
    return facts;
  }
  return std::nullopt;
}

// The row of sacct -o JobID,State,ExitCode,NodeList,Reason.
std::optional<SlurmJobFacts> AccountingRow(std::string_view text) {
  std::optional<SlurmJobFacts> newest;
  for (const absl::string_view line : LinesOf(text)) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, '|');
    if (fields.size() != 5 || !IsNumber(base::ToStd(fields[0]))) continue;
    SlurmJobFacts facts;
    facts.state = FirstWord(fields[1]);
    facts.reason = Unless(fields[4]);
    ReadExitCode(fields[2], facts);
    newest = std::move(facts);
  }
  return newest;
}

absl::Status NotUnderstood(std::string_view what, std::string_view text) {
  return absl::UnavailableError(absl::StrFormat(
      "Slurm answered about the job in a way that cannot be read (%s): %s", what,
      base::Quoted(base::ToStd(absl::StripAsciiWhitespace(base::ToAbsl(text))), 300)));
}

// "30:00", "4:00:00", "1-00:00:00"; infinite for what is none of these, as "infinite" is.
absl::Duration TimeLimitOf(absl::string_view text) {
  const std::vector<absl::string_view> days = absl::StrSplit(text, '-');
  const std::vector<absl::string_view> parts = absl::StrSplit(days.back(), ':');
  int64_t day = 0, seconds = 0;
  if (days.size() > 2 || parts.size() < 2 || parts.size() > 3 ||
      (days.size() == 2 && !absl::SimpleAtoi(days.front(), &day))) {
    return absl::InfiniteDuration();
  }
  for (const absl::string_view part : parts) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(part, &number)) return absl::InfiniteDuration();
    seconds = seconds * 60 + number;
  }
  return absl::Hours(24 * day) + absl::Seconds(seconds);
}

struct StateRow {
  std::string_view word;
  State state;
  std::string_view detail = {};  // beyond the word, for people
};

constexpr StateRow kStates[] = {
    {"PENDING", State::kPending},
    {"CONFIGURING", State::kPending},
    {"REQUEUED", State::kPending},
    {"REQUEUE_FED", State::kPending},
    {"REQUEUE_HOLD", State::kPending},
    {"RESV_DEL_HOLD", State::kPending},
    {"SPECIAL_EXIT", State::kPending},
    {"POWER_UP_NODE", State::kPending},
    {"EXPEDITING", State::kPending},
    {"RUNNING", State::kRunning},
    {"COMPLETING", State::kRunning},
    {"STAGE_OUT", State::kRunning},
    {"SIGNALING", State::kRunning},
    {"RESIZING", State::kRunning},
    {"SUSPENDED", State::kRunning, "it does not serve until it is resumed"},
    {"STOPPED", State::kRunning, "it does not serve until it is continued"},
    {"COMPLETED", State::kExited},
    {"FAILED", State::kFailed},
    {"TIMEOUT", State::kFailed, "its time was over: start it with a longer --time"},
    {"OUT_OF_MEMORY", State::kFailed, "start it with more --mem"},
    {"NODE_FAIL", State::kFailed, "its node went down"},
    {"BOOT_FAIL", State::kFailed, "its node could not be booted"},
    {"DEADLINE", State::kFailed, "it did not start before its deadline"},
    {"LAUNCH_FAILED", State::kFailed, "its node could not launch it"},
    {"RECONFIG_FAIL", State::kFailed, "its node could not be set up"},
    {"CANCELLED", State::kFailed, "somebody cancelled it (scancel)"},
    {"PREEMPTED", State::kFailed,
     "the scheduler took its nodes for a job of higher priority; nobody here stopped it"},
    {"REVOKED", State::kFailed, "another cluster of the federation runs it"},
};

const StateRow* RowOf(std::string_view word) {
  const auto* const row = std::find_if(std::begin(kStates), std::end(kStates),
                                       [&](const StateRow& each) { return each.word == word; });
  return row == std::end(kStates) ? nullptr : row;
}

}  // namespace

SlurmSections ParseSections(std::string_view output) {
  SlurmSections sections;
  std::string name;
  for (const absl::string_view line : absl::StrSplit(base::ToAbsl(output), '\n')) {
    int exit_code = 0;
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, "@@rc ") && absl::SimpleAtoi(rest, &exit_code)) {
      if (!name.empty()) sections[name].exit_code = exit_code;
      name.clear();
    } else if (name.empty() && absl::ConsumePrefix(&rest, "@@")) {
      name = std::string(rest);
      sections[name] = {};
    } else if (!name.empty()) {
      sections[name].text.append(base::ToStd(line)).push_back('\n');
    }
  }
  return sections;
}

std::optional<SlurmJobRef> ParseSubmit(std::string_view output) {
  std::optional<SlurmJobRef> last;
  for (const absl::string_view line : LinesOf(output)) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(absl::StripAsciiWhitespace(line), absl::MaxSplits(';', 1));
    if (!IsNumber(base::ToStd(parts.first)) ||
        parts.second.find_first_of(" \t;") != absl::string_view::npos) {
      continue;
    }
    last = SlurmJobRef{.id = std::string(parts.first), .cluster = std::string(parts.second)};
  }
  return last;
}

absl::StatusOr<std::optional<SlurmJobFacts>> ParseStatus(const SlurmSections& sections) {
  const SlurmSection* const queue = Find(sections, "squeue");
  if (queue == nullptr) return NotUnderstood("squeue", "");
  if (std::optional<SlurmJobFacts> facts = QueueRow(queue->text); facts.has_value()) {
    if (!StateNamed(facts->state).has_value()) return NotUnderstood("state", facts->state);
    if (const SlurmSection* const detail = Find(sections, "detail"); detail != nullptr) {
      for (absl::string_view line : LinesOf(detail->text)) {
        if (absl::ConsumePrefix(&line, "ExitCode=")) ReadExitCode(line, *facts);
      }
    }
    return facts;
  }
  const bool unknown_there = SlurmFailureOf(queue->text) == SlurmFailure::kNoSuchJob;
  if (queue->exit_code != 0 && !unknown_there) {
    return absl::UnavailableError(std::string(base::ToStd(
        SlurmError("squeue could not be asked", queue->exit_code, queue->text).message())));
  }
  const SlurmSection* const accounting = Find(sections, "sacct");
  if (accounting == nullptr) return NotUnderstood("sacct", queue->text);
  if (std::optional<SlurmJobFacts> facts = AccountingRow(accounting->text); facts.has_value()) {
    const std::optional<State> state = StateNamed(facts->state);
    if (!state.has_value()) return NotUnderstood("state", facts->state);
    // The database lags behind the controller, which has forgotten a job that it says is alive.
    if (*state == State::kPending || *state == State::kRunning) {
      return NotUnderstood("sacct", accounting->text);
    }
    return facts;
  }
  // The controller forgets what ended MinJobAge ago; never what is alive. Only its own word for
  // that counts, and an accounting that works must not know the job either.
  const bool no_accounting = SlurmFailureOf(accounting->text) == SlurmFailure::kNoAccounting ||
                             accounting->exit_code == 127;
  if (unknown_there && (no_accounting || accounting->exit_code == 0)) {
    return std::optional<SlurmJobFacts>();
  }
  return NotUnderstood("sacct", accounting->text);
}

std::optional<State> StateNamed(std::string_view word) {
  const StateRow* const row = RowOf(word);
  return row == nullptr ? std::nullopt : std::optional<State>(row->state);
}

PlatformState ToPlatformState(const SlurmJobFacts& facts) {
  const StateRow* const row = RowOf(facts.state);
  PlatformState state = {.state = row == nullptr ? State::kPending : row->state,
                         .detail = absl::StrFormat("Slurm says %s", facts.state),
                         .exit_code = {}};
  const bool ended = state.state == State::kExited || state.state == State::kFailed;
  if (ended) state.exit_code = facts.exit_code;
  if (ended && facts.exit_code != 0) {
    state.detail += absl::StrFormat(", exit status %d", facts.exit_code);
  }
  if (facts.signal != 0) {
    state.detail +=
        absl::StrFormat(", signal %d%s", facts.signal, facts.signal == kSigKill ? " (killed)" : "");
  }
  if (!facts.reason.empty() && facts.reason != "None" && facts.reason != facts.state) {
    state.detail += absl::StrFormat(", reason %s", facts.reason);
  }
  if (row != nullptr && !row->detail.empty()) {
    state.detail += absl::StrFormat(": %s", row->detail);
  }
  return state;
}

std::string QueuePosition(const SlurmSections& sections) {
  const SlurmSection* const queue = Find(sections, "queue");
  int position = 0, length = 0;
  if (queue == nullptr || std::sscanf(queue->text.c_str(), "%d %d", &position, &length) != 2 ||
      position < 1 || position > length) {
    return "";
  }
  return absl::StrFormat("%d of %d in the queue", position, length);
}

std::string DescribePending(const SlurmJobFacts& facts, std::string_view queue) {
  std::string text = facts.state == "PENDING" ? "waits" : "is " + facts.state;
  if (!queue.empty()) text += absl::StrFormat(", %s", queue);
  if (!facts.reason.empty()) text += absl::StrFormat(" (%s)", facts.reason);
  for (const SlurmReasonRule& rule : SlurmReasonRules()) {
    if (!facts.reason.starts_with(rule.reason)) continue;
    text += absl::StrFormat(": %s", rule.advice);
    break;
  }
  if (!facts.expected_start.empty()) {
    text += absl::StrFormat("; Slurm expects it to start at %s (the cluster's clock)",
                            facts.expected_start);
  }
  return text;
}

SlurmMarks ParseMarks(std::string_view lines) {
  SlurmMarks marks;
  for (absl::string_view line : LinesOf(lines)) {
    const size_t begin = line.find(base::ToAbsl(kMark));
    if (begin == absl::string_view::npos) continue;
    line.remove_prefix(begin + kMark.size());
    const size_t end = line.find(' ');
    int port = 0;
    if (end == absl::string_view::npos || !absl::SimpleAtoi(line.substr(0, end), &port)) continue;
    marks.port = port;
    marks.container |= absl::StrContains(line, " is the service's");
    marks.taken |= absl::StrContains(line, " is taken");
  }
  return marks;
}

std::vector<SlurmNamedJob> ParseNamed(std::string_view lines) {
  std::vector<SlurmNamedJob> jobs;
  for (const absl::string_view line : LinesOf(lines)) {
    // The comment is the last field: it is anybody's text.
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits('|', 3));
    if (fields.size() != 4 || !IsNumber(base::ToStd(fields[0]))) continue;
    jobs.push_back({.job = {.id = std::string(fields[0]), .cluster = ""},
                    .name = std::string(fields[1]),
                    .state = FirstWord(fields[2]),
                    .comment = Unless(fields[3])});
  }
  return jobs;
}

std::vector<SlurmPartition> ParsePartitions(std::string_view lines) {
  std::vector<SlurmPartition> partitions;
  for (const absl::string_view line : LinesOf(lines)) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits('|', 3));
    if (fields.size() != 4) continue;
    SlurmPartition partition = {.name = std::string(absl::StripSuffix(fields[0], "*")),
                                .available = std::string(fields[1]),
                                .time_limit = TimeLimitOf(fields[2]),
                                .gpus = {}};
    // gpu:a100:8(S:0-1),gpu:2,shard:4; commas also stand inside of the brackets.
    std::string bare;
    int depth = 0;
    for (const char c : fields[3]) {
      depth += c == '(' ? 1 : 0;
      if (depth == 0) bare += c;
      depth -= c == ')' ? 1 : 0;
    }
    for (const absl::string_view gres : absl::StrSplit(bare, ',', absl::SkipWhitespace())) {
      const std::vector<std::string> parts = absl::StrSplit(absl::StripAsciiWhitespace(gres), ':');
      int count = 0;
      if (parts.front() != "gpu" || parts.size() < 2 || !absl::SimpleAtoi(parts.back(), &count)) {
        continue;
      }
      partition.gpus[parts.size() > 2 ? parts[1] : ""] += count;
    }
    partitions.push_back(std::move(partition));
  }
  return partitions;
}

}  // namespace tao::platforms
