#include "server/platforms/lepton/lepton_life.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/secret.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

constexpr absl::Duration kLongWithoutANode = absl::Minutes(15);

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

size_t RankOf(const std::string& reason) {
  size_t rank = 0;
  for (const LeptonIssueRule& rule : LeptonIssueRules()) {
    if (rule.reason == reason) return rank;
    ++rank;
  }
  return rank;  // unknown ones last
}

std::string_view AdviceOf(const std::string& reason) {
  for (const LeptonIssueRule& rule : LeptonIssueRules()) {
    if (rule.reason == reason) return rule.advice;
  }
  return "";
}

}  // namespace

LeptonLife LifeOf(const LeptonEndpoint& endpoint) {
  const std::string& state = endpoint.state;
  if (endpoint.deleted || IsOneOf(state, {"Stopping", "Stopped", "Deleting"})) {
    return LeptonLife::kEnding;
  }
  if (IsOneOf(state, {"Not Ready", "NotReady"})) {
    // The legacy family says so of one that was stopped as well.
    const bool stopped =
        endpoint.min_replicas == 0 || IsOneOf(endpoint.phase, {"Stopped", "Stopping"});
    return stopped ? LeptonLife::kEnding : LeptonLife::kPending;
  }
  if (IsOneOf(state, {"Starting", "Updating", "Scaling", "Migrating", "Restarting"})) {
    return LeptonLife::kPending;
  }
  if (state == "Ready") return LeptonLife::kReady;
  if (state == "Error") return LeptonLife::kError;
  return LeptonLife::kNoAnswer;
}

absl::StatusOr<PlatformState> ToPlatformState(const LeptonEndpoint& endpoint) {
  const std::string said = "Lepton says " + base::Quoted(endpoint.state);
  switch (LifeOf(endpoint)) {
    case LeptonLife::kPending:
      return PlatformState{.state = State::kPending, .detail = said, .exit_code = {}};
    case LeptonLife::kReady:
      return PlatformState{.state = State::kRunning, .detail = said, .exit_code = {}};
    case LeptonLife::kEnding:
      return PlatformState{
          .state = State::kGone,
          .detail = (endpoint.deleted ? "Lepton is deleting it" : said) +
                    ": somebody stopped or deleted it, in the console or by another tool",
          .exit_code = {}};
    case LeptonLife::kError:
      return PlatformState{.state = State::kFailed, .detail = said, .exit_code = {}};
    case LeptonLife::kNoAnswer:
      break;
  }
  return absl::UnavailableError(
      absl::StrFormat("Lepton says %s of endpoint %s, which tells nothing",
                      base::Quoted(endpoint.state), endpoint.name));
}

const std::vector<LeptonIssueRule>& LeptonIssueRules() {
  constexpr std::string_view kEndsByItself =
      "The container ends by itself: read its logs (tao-inference logs); if nothing is in them, "
      "the image may not have been pulled: see the image pull secret and its NGC key";
  constexpr std::string_view kDoesNotFit =
      "A mount, a secret or the node does not fit: stop the service, and start it with other ones";
  constexpr std::string_view kNoRoom =
      "No node has room: wait, or stop it and choose another --resource-shape or "
      "--dedicated-node-group";
  constexpr std::string_view kTheirTrouble =
      "Lepton's infrastructure has trouble, and tries again by itself";
  static const auto* const rules = new std::vector<LeptonIssueRule>{
      {"UserCodeError", kEndsByItself},
      {"Failed", kEndsByItself},
      {"DeploymentConfigError", kDoesNotFit},
      {"ConfigError", kDoesNotFit},
      {"NoCapacity", kNoRoom},
      {"WaitingForCapacity", kNoRoom},
      {"Queueing",
       "It waits for its turn: wait, or stop it and choose another --resource-shape or "
       "--dedicated-node-group"},
      {"SystemError", kTheirTrouble},
      {"NodeNotReady", kTheirTrouble},
      {"Preempting", "Lepton gives its node to somebody else, and looks for another one"},
      {"InProgress", ""},
  };
  return *rules;
}

LeptonWait DescribeWait(const LeptonEndpoint& endpoint, const std::vector<LeptonIssue>& issues,
                        absl::Duration waited) {
  const LeptonIssue* first = nullptr;
  for (const LeptonIssue& issue : issues) {
    if (first == nullptr || RankOf(issue.reason) < RankOf(first->reason)) first = &issue;
  }
  LeptonWait wait;
  wait.reason = first != nullptr ? first->reason : endpoint.state;
  wait.message = first != nullptr && !first->message.empty()
                     ? base::Redact(first->message.substr(0, 300))
                     : absl::StrFormat("Lepton says %s", base::Quoted(wait.reason));
  std::string_view advice = AdviceOf(wait.reason);
  if (advice.empty() && waited >= kLongWithoutANode) {
    advice = wait.message.find("ulling") != std::string::npos
                 ? "A large image takes many minutes; for ever means a wrong image pull secret or "
                   "NGC key"
                 : "More than 15 minutes without a node mean that there is no capacity: wait, or "
                   "stop it and choose another --resource-shape or --dedicated-node-group";
  }
  if (!advice.empty()) wait.message += ". " + std::string(advice);
  if (wait.reason.empty()) wait.reason = "Starting";
  return wait;
}

}  // namespace tao::platforms
