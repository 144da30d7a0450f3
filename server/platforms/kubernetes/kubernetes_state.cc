#include "server/platforms/kubernetes/kubernetes_state.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <utility>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;

std::string WithAdvice(const std::string& text) {
  const KubernetesFailureRule* const rule = RuleOf(text);
  const std::string line = OnOneLine(text);
  return rule == nullptr || rule->advice.empty() ? line
                                                 : absl::StrFormat("%s. %s", line, rule->advice);
}

// "OOMKilled, exit status 137" and what the pod itself says; empty: it has not ended.
std::string DescribeEnd(const PodView& pod) {
  std::vector<std::string> parts;
  if (!pod.reason.empty()) parts.push_back(pod.reason);
  if (!pod.message.empty()) parts.push_back(pod.message);
  if (pod.exit_code.has_value()) {
    if (!pod.end_reason.empty() && pod.end_reason != "Error" && pod.end_reason != "Completed") {
      parts.push_back(pod.end_reason);
    }
    parts.push_back(absl::StrFormat("exit status %d", *pod.exit_code));
    if (!pod.end_message.empty()) parts.push_back(pod.end_message);
  }
  return absl::StrJoin(parts, ", ");
}

PlatformState Failed(const JobAndPods& objects) {
  const PodView* const pod = MainPod(objects);
  std::string detail = pod == nullptr ? "" : DescribeEnd(*pod);
  if (objects.job->failed && (detail.empty() || objects.job->reason != "BackoffLimitExceeded")) {
    // That says only that the pod has ended.
    detail = absl::StrFormat("%s%s%s: %s", detail, detail.empty() ? "" : "; ", objects.job->reason,
                             objects.job->message);
  }
  return {.state = State::kFailed,
          .detail = WithAdvice(detail),
          .exit_code = pod == nullptr ? std::nullopt : pod->exit_code};
}

bool IsTrouble(std::string_view reason) {
  constexpr std::string_view kTroubles[] = {
      "ErrImagePull",         "ImagePullBackOff",    "ErrImageNeverPull",
      "ImageInspectError",    "RegistryUnavailable", "CreateContainerConfigError",
      "CreateContainerError", "RunContainerError",   "CrashLoopBackOff"};
  return std::find(std::begin(kTroubles), std::end(kTroubles), reason) != std::end(kTroubles);
}

PendingView Pending(PendingView::Kind kind, std::string reason, const std::string& text) {
  const KubernetesFailureRule* const rule = RuleOf(text);
  return {.kind = kind,
          .reason = std::move(reason),
          .message = WithAdvice(text),
          .code = rule == nullptr ? absl::StatusCode::kFailedPrecondition : rule->code};
}

// The last event of `object` that fits; null: none.
template <typename Fits>
const EventView* LastEvent(const std::vector<EventView>& events, const std::string& object,
                           Fits fits) {
  const EventView* last = nullptr;
  for (const EventView& event : events) {
    if (event.object == object && fits(event)) last = &event;
  }
  return last;
}

}  // namespace

const PodView* MainPod(const JobAndPods& objects) {
  const PodView* main = nullptr;
  for (const PodView& pod : objects.pods) {
    // One that is being removed counts only when there is no other; RFC 3339 times sort as text.
    if (main == nullptr || (main->deleting && !pod.deleting) ||
        (main->deleting == pod.deleting && pod.created_at > main->created_at)) {
      main = &pod;
    }
  }
  return main;
}

absl::StatusOr<PlatformState> ToPlatformState(const JobAndPods& objects) {
  const auto state = [](State which, std::string detail) {
    return PlatformState{.state = which, .detail = std::move(detail), .exit_code = {}};
  };
  if (!objects.job.has_value()) return state(State::kGone, "");
  const JobView& job = *objects.job;
  if (job.deleting) {  // what it was is no longer told
    return absl::UnavailableError(absl::StrFormat("Job %s is being deleted", job.name));
  }
  if (job.complete) {
    return PlatformState{.state = State::kExited, .detail = "exit status 0", .exit_code = 0};
  }
  if (job.failed) return Failed(objects);
  const PodView* const pod = MainPod(objects);
  if (pod == nullptr) return state(State::kPending, "its Job has no pod yet");
  if (pod->phase == "Failed" || pod->exit_code.value_or(0) != 0) return Failed(objects);
  if (pod->phase == "Succeeded" || pod->exit_code.has_value()) {
    return PlatformState{.state = State::kExited, .detail = "exit status 0", .exit_code = 0};
  }
  if (pod->phase == "Unknown") {
    return absl::UnavailableError(absl::StrFormat(
        "the cluster does not know what became of pod %s: its node %s does not answer. See kubectl "
        "describe node %s",
        pod->name, pod->node, pod->node));
  }
  if (pod->running) return state(State::kRunning, "");
  return state(State::kPending, ToPendingView(objects, {}).message);
}

std::string EventsOf(const JobAndPods& objects) {
  if (!objects.job.has_value()) return "";
  const PodView* const pod = MainPod(objects);
  if (pod == nullptr) return objects.job->name;
  return pod->unschedulable.empty() && !pod->running ? pod->name : "";
}

PendingView ToPendingView(const JobAndPods& objects, const std::vector<EventView>& events) {
  using Kind = PendingView::Kind;
  const PodView* const pod = MainPod(objects);
  const auto warning = [](const EventView& event) { return event.type == "Warning"; };
  if (objects.job.has_value() && objects.job->suspended) {
    return Pending(Kind::kWaiting, "Suspended",
                   "the Job is suspended: a queue of the cluster lets it go on");
  }
  if (pod == nullptr) {
    const std::string job = objects.job.has_value() ? objects.job->name : "";
    const EventView* const why = LastEvent(events, job, warning);
    if (why == nullptr) return Pending(Kind::kWaiting, "NoPod", "its Job has no pod yet");
    return Pending(Kind::kTrouble, why->reason,
                   absl::StrFormat("the cluster makes no pod for it: %s", why->message));
  }
  if (!pod->unschedulable.empty()) {
    return Pending(Kind::kWaiting, "Unschedulable",
                   absl::StrFormat("no node takes pod %s: %s", pod->name, pod->unschedulable));
  }
  const std::string& reason = pod->waiting_reason;
  if (reason == "InvalidImageName" || IsTrouble(reason)) {
    // "Back-off pulling image" has no cause in it; the event of the try before has.
    const EventView* const why = LastEvent(
        events, pod->name, [](const EventView& event) { return event.reason == "Failed"; });
    std::string text = absl::StrFormat("%s: %s", reason, pod->waiting_message);
    if (why != nullptr && text.find(why->message) == std::string::npos &&
        why->message.starts_with("Failed to pull")) {
      text += "; " + why->message;
    }
    return Pending(reason == "InvalidImageName" ? Kind::kHopeless : Kind::kTrouble, reason,
                   absl::StrFormat("pod %s on node %s: %s", pod->name, pod->node, text));
  }
  const std::string word = reason.empty() ? "Pending" : reason;
  const EventView* const last = LastEvent(events, pod->name, [](const EventView&) { return true; });
  if (last == nullptr) {
    return Pending(Kind::kWaiting, word,
                   absl::StrFormat("pod %s is being made%s", pod->name,
                                   pod->node.empty() ? "" : " on node " + pod->node));
  }
  // The kind of the event is the word by which its rule knows it (FailedMount).
  return Pending(Kind::kWaiting, word,
                 last->type == "Warning"
                     ? absl::StrFormat("pod %s: %s: %s", pod->name, last->reason, last->message)
                     : absl::StrFormat("pod %s: %s", pod->name, last->message));
}

absl::StatusOr<std::string> FindGpuNode(const std::vector<NodeView>& nodes,
                                        const KubernetesOptions& options, int count) {
  int most = 0, usable = 0;
  bool known = false, mig = false;
  std::string best;
  for (const NodeView& node : nodes) {
    const auto found = node.allocatable.find(options.gpu_resource);
    known = known || found != node.allocatable.end();
    for (const auto& [resource, amount] : node.allocatable) {
      mig = mig || resource.starts_with("nvidia.com/mig-");
    }
    const bool selected = std::all_of(
        options.node_selector.begin(), options.node_selector.end(), [&node](const auto& wanted) {
          const auto label = node.labels.find(wanted.first);
          return label != node.labels.end() && label->second == wanted.second;
        });
    if (!node.usable || !selected) continue;
    ++usable;
    int amount = 0;
    if (found == node.allocatable.end() || !absl::SimpleAtoi(found->second, &amount)) continue;
    if (amount > most) {
      most = amount;
      best = node.name;
    }
  }
  if (most >= count) {
    return absl::StrFormat("node %s has %d of %s", best, most, options.gpu_resource);
  }
  const std::string wanted = absl::StrFormat("%d of %s on one node", count, options.gpu_resource);
  if (!known) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "no node of the cluster has %s, and %s are asked for: %s", options.gpu_resource, wanted,
        mig ? "its GPUs are divided (MIG); name the part with --gpu-resource nvidia.com/mig-..."
            : "install the NVIDIA device plugin or GPU operator, or start with --gpu-mode none"));
  }
  if (usable == 0) {
    return absl::FailedPreconditionError(
        "no node of the cluster is ready, schedulable and as --node-selector says: see kubectl get "
        "nodes --show-labels");
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("%s are asked for, and the most that a usable node has is %d. Ask for fewer "
                      "with --gpu-count, or correct --node-selector; where nodes are added on "
                      "demand, set TAO_K8S_SKIP_NODE_RUNTIME_CHECK=1 for the server",
                      wanted, most));
}

}  // namespace tao::platforms
