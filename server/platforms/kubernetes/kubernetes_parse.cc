#include "server/platforms/kubernetes/kubernetes_parse.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/kubernetes/kubernetes_render.h"

namespace tao::platforms {
namespace {

using Json = nlohmann::json;
using State = PlatformState::State;

// A member of an object, or null: absent ones are left out of what the API writes.
const Json& In(const Json& json, const char* name) {
  static const Json null;
  if (!json.is_object()) return null;
  const auto found = json.find(name);
  return found == json.end() ? null : *found;
}

std::string TextIn(const Json& json, const char* name) {
  const Json& value = In(json, name);
  return value.is_string() ? value.get<std::string>() : "";
}

int NumberIn(const Json& json, const char* name) {
  const Json& value = In(json, name);
  return value.is_number_integer() ? value.get<int>() : 0;
}

std::map<std::string, std::string> TextsIn(const Json& json, const char* name) {
  std::map<std::string, std::string> texts;
  const Json& values = In(json, name);
  if (!values.is_object()) return texts;
  for (const auto& [key, value] : values.items()) {
    if (value.is_string()) texts.emplace(key, value.get<std::string>());
    // Quantities may be numbers as well.
    if (value.is_number_integer()) texts.emplace(key, std::to_string(value.get<int64_t>()));
  }
  return texts;
}

bool IsDeleting(const Json& metadata) { return !TextIn(metadata, "deletionTimestamp").empty(); }

std::string OwnerUid(const Json& metadata) {
  for (const Json& owner : In(metadata, "ownerReferences")) {
    if (TextIn(owner, "kind") == "Job") return TextIn(owner, "uid");
  }
  return "";
}

absl::StatusOr<Json> ParseObjectText(std::string_view output) {
  Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) return json;
  return absl::UnavailableError(
      absl::StrFormat("kubectl printed what cannot be read as an object: %s. Check its version "
                      "(kubectl version)",
                      base::Quoted(output, 300)));
}

// The items of a list; kubectl prints one object alone as itself.
absl::StatusOr<std::vector<Json>> ParseItems(std::string_view output) {
  ASSIGN_OR_RETURN(Json json, ParseObjectText(output));
  if (!TextIn(json, "kind").ends_with("List")) return std::vector<Json>{std::move(json)};
  std::vector<Json> items;
  for (const Json& item : In(json, "items")) items.push_back(item);
  return items;
}

// The condition of `type` when it is true.
const Json& TrueCondition(const Json& status, std::string_view type) {
  static const Json null;
  for (const Json& condition : In(status, "conditions")) {
    if (TextIn(condition, "type") == type && TextIn(condition, "status") == "True") {
      return condition;
    }
  }
  return null;
}

JobView ToJob(const Json& json) {
  const Json& metadata = In(json, "metadata");
  const Json& status = In(json, "status");
  JobView job;
  job.name = TextIn(metadata, "name");
  job.uid = TextIn(metadata, "uid");
  job.labels = TextsIn(metadata, "labels");
  job.deleting = IsDeleting(metadata);
  // Newer clusters put SuccessCriteriaMet and FailureTarget before Complete and Failed.
  for (const char* const type : {"Complete", "SuccessCriteriaMet"}) {
    job.complete = job.complete || !TrueCondition(status, type).is_null();
  }
  for (const char* const type : {"Failed", "FailureTarget"}) {
    const Json& condition = TrueCondition(status, type);
    if (condition.is_null() || job.failed) continue;
    job.failed = true;
    job.reason = TextIn(condition, "reason");
    job.message = TextIn(condition, "message");
  }
  job.suspended = !TrueCondition(status, "Suspended").is_null();
  return job;
}

PodView ToPod(const Json& json) {
  const Json& metadata = In(json, "metadata");
  const Json& status = In(json, "status");
  std::map<std::string, std::string> labels = TextsIn(metadata, "labels");
  PodView pod;
  pod.name = TextIn(metadata, "name");
  pod.job_id = labels[std::string(kJobLabel)];
  pod.daemon_id = labels[std::string(kDaemonLabel)];
  pod.created_at = TextIn(metadata, "creationTimestamp");
  pod.node = TextIn(In(json, "spec"), "nodeName");
  pod.node_address = TextIn(status, "hostIP");
  pod.phase = TextIn(status, "phase");
  pod.deleting = IsDeleting(metadata);
  pod.reason = TextIn(status, "reason");
  pod.message = TextIn(status, "message");
  for (const Json& condition : In(status, "conditions")) {
    if (TextIn(condition, "type") == "PodScheduled" && TextIn(condition, "status") == "False") {
      pod.unschedulable = TextIn(condition, "message");
      if (pod.unschedulable.empty()) pod.unschedulable = TextIn(condition, "reason");
    }
  }
  for (const Json& container : In(status, "containerStatuses")) {
    if (TextIn(container, "name") != kContainerName) continue;  // a mesh may add its own
    const Json& state = In(container, "state");
    pod.running = In(state, "running").is_object();
    pod.waiting_reason = TextIn(In(state, "waiting"), "reason");
    pod.waiting_message = TextIn(In(state, "waiting"), "message");
    if (const Json& ended = In(state, "terminated"); ended.is_object()) {
      pod.exit_code = NumberIn(ended, "exitCode");
      pod.end_reason = TextIn(ended, "reason");
      pod.end_message = TextIn(ended, "message");
    }
  }
  return pod;
}

ObjectView ToObject(const Json& metadata) {
  return {.uid = TextIn(metadata, "uid"),
          .owner_uid = OwnerUid(metadata),
          .labels = TextsIn(metadata, "labels"),
          .deleting = IsDeleting(metadata)};
}

bool IsOf(const std::map<std::string, std::string>& labels, std::string_view daemon_id) {
  if (daemon_id.empty()) return true;
  const auto found = labels.find(std::string(kDaemonLabel));
  return found != labels.end() && found->second == daemon_id;
}

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

absl::StatusOr<std::map<std::string, JobAndPods>> ParseJobs(std::string_view output,
                                                            std::string_view daemon_id) {
  ASSIGN_OR_RETURN(const std::vector<Json> items, ParseItems(output));
  std::map<std::string, JobAndPods> found;
  for (const Json& item : items) {
    const std::map<std::string, std::string> labels = TextsIn(In(item, "metadata"), "labels");
    const auto job_id = labels.find(std::string(kJobLabel));
    if (job_id == labels.end() || !IsOf(labels, daemon_id)) continue;
    const std::string kind = TextIn(item, "kind");
    if (kind == "Job") found[job_id->second].job = ToJob(item);
    if (kind == "Pod") found[job_id->second].pods.push_back(ToPod(item));
  }
  return found;
}

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

absl::StatusOr<std::vector<EventView>> ParseEvents(std::string_view output) {
  ASSIGN_OR_RETURN(const std::vector<Json> items, ParseItems(output));
  std::vector<EventView> events;
  for (const Json& item : items) {
    EventView event = {.object = TextIn(In(item, "involvedObject"), "name"),
                       .type = TextIn(item, "type"),
                       .reason = TextIn(item, "reason"),
                       .message = TextIn(item, "message"),
                       .time = TextIn(item, "lastTimestamp")};
    if (event.time.empty()) event.time = TextIn(item, "eventTime");
    events.push_back(std::move(event));
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const EventView& a, const EventView& b) { return a.time < b.time; });
  return events;
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

absl::StatusOr<ServiceView> ParseService(std::string_view output) {
  ASSIGN_OR_RETURN(const Json json, ParseObjectText(output));
  const Json& metadata = In(json, "metadata");
  ServiceView service;
  service.labels = TextsIn(metadata, "labels");
  service.owner_uid = OwnerUid(metadata);
  service.type = TextIn(In(json, "spec"), "type");
  for (const Json& port : In(In(json, "spec"), "ports")) {
    service.port = NumberIn(port, "port");
    service.node_port = NumberIn(port, "nodePort");
    break;
  }
  for (const Json& ingress : In(In(In(json, "status"), "loadBalancer"), "ingress")) {
    service.address = TextIn(ingress, "ip");
    if (service.address.empty()) service.address = TextIn(ingress, "hostname");
    if (!service.address.empty()) break;
  }
  return service;
}

absl::StatusOr<std::vector<NodeView>> ParseNodes(std::string_view output) {
  ASSIGN_OR_RETURN(const std::vector<Json> items, ParseItems(output));
  std::vector<NodeView> nodes;
  for (const Json& item : items) {
    const Json& status = In(item, "status");
    const Json& cordoned = In(In(item, "spec"), "unschedulable");
    NodeView node;
    node.name = TextIn(In(item, "metadata"), "name");
    node.labels = TextsIn(In(item, "metadata"), "labels");
    node.usable = !TrueCondition(status, "Ready").is_null() &&
                  !(cordoned.is_boolean() && cordoned.get<bool>());
    node.allocatable = TextsIn(status, "allocatable");
    for (const Json& address : In(status, "addresses")) {
      const std::string type = TextIn(address, "type");
      if (type == "ExternalIP" || (type == "InternalIP" && node.address.empty())) {
        node.address = TextIn(address, "address");
      }
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
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

absl::StatusOr<std::string> ParseClientVersion(std::string_view output) {
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  const std::string version = TextIn(In(json, "clientVersion"), "gitVersion");
  int major = 0, minor = 0;
  if (std::sscanf(version.c_str(), "v%d.%d", &major, &minor) != 2) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "kubectl version printed %s where its version was expected. Put Kubernetes' own kubectl "
        "first in the server's PATH (Debian: apt-get install kubernetes-client)",
        base::Quoted(output)));
  }
  if (major > 1 || (major == 1 && minor >= 20)) return version;
  return absl::FailedPreconditionError(
      absl::StrFormat("kubectl is version %s, and 1.20 or newer is needed. Upgrade it (Debian: "
                      "apt-get install kubernetes-client)",
                      version));
}

absl::StatusOr<ObjectView> ParseObject(std::string_view output) {
  ASSIGN_OR_RETURN(const Json json, ParseObjectText(output));
  return ToObject(In(json, "metadata"));
}

absl::StatusOr<ObjectView> ParseMetadata(std::string_view output) {
  ASSIGN_OR_RETURN(const Json json, ParseObjectText(output));
  return ToObject(json);
}

bool HasPullSecrets(std::string_view output) {
  const Json json = Json::parse(output, nullptr, /*allow_exceptions=*/false);
  const Json& secrets = In(json, "imagePullSecrets");
  return secrets.is_array() && !secrets.empty();
}

}  // namespace tao::platforms
