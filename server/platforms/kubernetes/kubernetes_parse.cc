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

ServiceView ToService(const Json& json) {
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
    if (kind == "Service") found[job_id->second].service = ToService(item);
  }
  return found;
}

absl::StatusOr<JobAndPods> ParseJobOfAnyone(std::string_view job, std::string_view pods) {
  ASSIGN_OR_RETURN(const std::vector<Json> jobs, ParseItems(job));
  ASSIGN_OR_RETURN(const std::vector<Json> of_it, ParseItems(pods));
  JobAndPods found;
  for (const Json& item : jobs) {
    if (TextIn(item, "kind") == "Job") found.job = ToJob(item);
  }
  for (const Json& item : of_it) {
    if (TextIn(item, "kind") == "Pod") found.pods.push_back(ToPod(item));
  }
  return found;
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

absl::StatusOr<ServiceView> ParseService(std::string_view output) {
  ASSIGN_OR_RETURN(const Json json, ParseObjectText(output));
  return ToService(json);
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
