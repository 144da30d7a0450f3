#include "server/platforms/kubernetes/kubernetes_parse.h"

#include <gmock/gmock.h>

#include <string>

#include "server/base/strings.h"
#include "server/platforms/kubernetes/kubernetes_state.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using Kind = PendingView::Kind;
using testing::HasSubstr;
using testing::Not;

// The labels that both objects of service j carry.
constexpr char kLabels[] = R"("labels":{"tao-job":"j","tao-daemon":"d","job-name":"tao-j"})";

std::string Job(const std::string& status, const std::string& metadata = "") {
  return std::string(
             R"({"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"tao-j","uid":"u-1",)") +
         metadata + kLabels + R"(},"status":{)" + status + "}}";
}

std::string Pod(const std::string& status, const std::string& metadata = "") {
  return std::string(
             R"({"kind":"Pod","metadata":{"name":"tao-j-x","creationTimestamp":"2026-01-01T00:00:00Z",)") +
         metadata + kLabels + R"(},"spec":{"nodeName":"node-1"},"status":{)" + status + "}}";
}

// The container's state.
std::string Container(const std::string& state, const std::string& phase = "Pending") {
  return R"("phase":")" + phase +
         R"(","containerStatuses":[{"name":"istio-proxy","state":{"running":{}}},{"name":"tao","state":)" +
         state + "}]";
}

JobAndPods Objects(const std::string& items) {
  const auto parsed =
      ParseJobs(R"({"kind":"List","apiVersion":"v1","items":[)" + items + "]}", "d");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  if (!parsed.ok() || !parsed->contains("j")) return {};
  return parsed->at("j");
}

struct StateCase {
  const char* name;
  std::string items;
  State state;
  const char* detail;
};

TEST(ToPlatformStateTest, IsTheTablesFirstMatch) {
  const StateCase kCases[] = {
      {"nothing is there", "", State::kGone, ""},
      {"complete", Job(R"("conditions":[{"type":"Complete","status":"True"}])"), State::kExited,
       "exit status 0"},
      {"newer clusters put another condition first",
       Job(R"("conditions":[{"type":"SuccessCriteriaMet","status":"True"},
                            {"type":"Complete","status":"True"}])"),
       State::kExited, "exit status 0"},
      {"a condition that is false says nothing",
       Job(R"("active":1,"conditions":[{"type":"Failed","status":"False"}])") + "," +
           Pod(Container(R"({"running":{}})", "Running")),
       State::kRunning, ""},
      {"failed, with what its pod says",
       Job(R"("conditions":[{"type":"FailureTarget","status":"True","reason":"BackoffLimitExceeded"},
                            {"type":"Failed","status":"True","reason":"BackoffLimitExceeded",
                             "message":"Job has reached the specified backoff limit"}])") +
           "," + Pod(Container(R"({"terminated":{"exitCode":1,"reason":"Error"}})", "Failed")),
       State::kFailed, "exit status 1"},
      {"failed without a pod",
       Job(R"("conditions":[{"type":"Failed","status":"True","reason":"DeadlineExceeded",
                             "message":"Job was active longer than specified deadline"}])"),
       State::kFailed, "DeadlineExceeded: Job was active longer"},
      {"out of memory",
       Job(R"("active":1)") + "," +
           Pod(Container(R"({"terminated":{"exitCode":137,"reason":"OOMKilled"}})", "Failed")),
       State::kFailed, "OOMKilled, exit status 137. It needs more memory"},
      {"evicted", Job("") + "," + Pod(R"("phase":"Failed","reason":"Evicted",
                  "message":"The node was low on resource: ephemeral-storage.")"),
       State::kFailed, "Evicted, The node was low on resource: ephemeral-storage"},
      {"active counts pending pods alike",
       Job(R"("active":1)") + "," +
           Pod(R"("phase":"Pending","conditions":[{"type":"PodScheduled","status":"False",
                  "reason":"Unschedulable",
                  "message":"0/2 nodes are available: 2 Insufficient nvidia.com/gpu."}])"),
       State::kPending, "Insufficient nvidia.com/gpu"},
      {"no pod", Job(R"("active":0)"), State::kPending, "no pod yet"},
      {"suspended", Job(R"("conditions":[{"type":"Suspended","status":"True"}])"), State::kPending,
       "no pod yet"},
      {"container being made",
       Job(R"("active":1)") + "," + Pod(Container(R"({"waiting":{"reason":"ContainerCreating"}})")),
       State::kPending, "being made on node node-1"},
      {"image", Job("") + "," + Pod(Container(R"({"waiting":{"reason":"ErrImagePull",
                                                  "message":"x: not found"}})")),
       State::kPending, "ErrImagePull: x: not found"},
      {"running", Job(R"("active":1)") + "," + Pod(Container(R"({"running":{}})", "Running")),
       State::kRunning, ""},
      {"ended before the Job knows",
       Job(R"("active":1)") + "," +
           Pod(Container(R"({"terminated":{"exitCode":0,"reason":"Completed"}})", "Succeeded")),
       State::kExited, "exit status 0"},
      {"a second pod counts, the first is going",
       Job(R"("active":1)") + "," +
           Pod(Container(R"({"running":{}})", "Running"), R"("deletionTimestamp":"x",)") + "," +
           Pod(R"("phase":"Pending")"),
       State::kPending, "being made"},
  };
  for (const StateCase& each : kCases) {
    const auto state = ToPlatformState(Objects(each.items));
    ASSERT_TRUE(state.ok()) << each.name << ": " << state.status();
    EXPECT_EQ(state->state, each.state) << each.name << ": " << state->detail;
    EXPECT_THAT(state->detail, HasSubstr(each.detail)) << each.name;
  }
}

TEST(ToPlatformStateTest, WhatTheClusterDoesNotKnowIsNotGone) {
  EXPECT_TRUE(absl::IsUnavailable(
      ToPlatformState(Objects(Job("") + "," + Pod(R"("phase":"Unknown")"))).status()));
  EXPECT_TRUE(absl::IsUnavailable(
      ToPlatformState(Objects(Job("", R"("deletionTimestamp":"2026-01-01T00:00:00Z",)")))
          .status()));
}

TEST(ParseJobsTest, AnotherDaemonsAndUnlabelledObjectsAreLeftOut) {
  const std::string list =
      R"({"kind":"List","items":[)" + Job("") +
      R"(,{"kind":"Job","metadata":{"name":"tao-k","labels":{"tao-job":"k","tao-daemon":"other"}}})"
      R"(,{"kind":"Job","metadata":{"name":"theirs"}}]})";
  const auto ours = ParseJobs(list, "d");
  ASSERT_TRUE(ours.ok());
  EXPECT_EQ(ours->size(), 1u);
  EXPECT_EQ(ours->at("j").job->uid, "u-1");
  EXPECT_EQ(ParseJobs(list, "")->size(), 2u);
}

TEST(ParseJobsTest, WhatIsNoListOfObjectsCouldNotBeAsked) {
  for (const char* const output : {"", "No resources found", "[]", "{\"kind\":"}) {
    EXPECT_TRUE(absl::IsUnavailable(ParseJobs(output, "").status())) << output;
  }
  for (const char* const odd :
       {R"({"kind":"List","items":null})", R"({"kind":"List","items":[1,null,{"metadata":3}]})"}) {
    const auto parsed = ParseJobs(odd, "");
    ASSERT_TRUE(parsed.ok()) << odd;
    EXPECT_TRUE(parsed->empty()) << odd;
  }
}

struct PendingCase {
  std::string items, event_reason, event;  // of the pod, or of the Job without one
  Kind kind;
  const char* reason;
  const char* message;
};

TEST(ToPendingViewTest, SaysWhatAPersonCanActOn) {
  const PendingCase kCases[] = {
      {Job(R"("conditions":[{"type":"Suspended","status":"True"}])"), "", "", Kind::kWaiting,
       "Suspended", "queue of the cluster"},
      {Job(""), "", "", Kind::kWaiting, "NoPod", "no pod yet"},
      {Job(""), "FailedCreate", "Error creating: pods \"x\" is forbidden: exceeded quota: gpus",
       Kind::kTrouble, "FailedCreate", "quota is used up"},
      {Job("") + "," +
           Pod(R"("phase":"Pending","conditions":[{"type":"PodScheduled","status":"False",
                  "message":"0/2 nodes are available: 2 node(s) had untolerated taint {a: b}."}])"),
       "", "", Kind::kWaiting, "Unschedulable", "--toleration"},
      {Job("") + "," + Pod(Container(R"({"waiting":{"reason":"ContainerCreating"}})")), "Pulling",
       "Pulling image \"x\"", Kind::kWaiting, "ContainerCreating", "Pulling image"},
      {Job("") + "," + Pod(Container(R"({"waiting":{"reason":"ContainerCreating"}})")),
       "FailedMount", "MountVolume.SetUp failed", Kind::kWaiting, "ContainerCreating",
       "could not be mounted"},
      {Job("") + "," + Pod(Container(R"({"waiting":{"reason":"ImagePullBackOff",
                                          "message":"Back-off pulling image \"x\""}})")),
       "Failed", "Failed to pull image \"x\": 401 Unauthorized", Kind::kTrouble, "ImagePullBackOff",
       "401 Unauthorized. The registry refused"},
      {Job("") + "," + Pod(Container(R"({"waiting":{"reason":"CreateContainerConfigError",
                                          "message":"secret \"tao-j-env\" not found"}})")),
       "", "", Kind::kTrouble, "CreateContainerConfigError", "not in the namespace"},
      {Job("") + "," + Pod(Container(R"({"waiting":{"reason":"InvalidImageName",
                                          "message":"couldn't parse"}})")),
       "", "", Kind::kHopeless, "InvalidImageName", "no image reference"},
  };
  for (const PendingCase& each : kCases) {
    const JobAndPods objects = Objects(each.items);
    std::vector<EventView> events;
    if (!each.event.empty()) {
      events.push_back({.object = EventsOf(objects),
                        .type = each.event_reason == "Pulling" ? "Normal" : "Warning",
                        .reason = each.event_reason,
                        .message = each.event,
                        .time = "1"});
    }
    const PendingView view = ToPendingView(objects, events);
    EXPECT_EQ(view.kind, each.kind) << view.message;
    EXPECT_EQ(view.reason, each.reason) << view.message;
    EXPECT_THAT(view.message, HasSubstr(each.message));
  }
}

// The cluster retries these for ever, and the Job's backoffLimit does not count them.
TEST(ToPendingViewTest, WhatIsRetriedForEverIsTrouble) {
  for (const char* const reason :
       {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "ImageInspectError",
        "RegistryUnavailable", "CreateContainerConfigError", "CreateContainerError",
        "RunContainerError", "CrashLoopBackOff"}) {
    const JobAndPods objects =
        Objects(Job("") + "," +
                Pod(Container(std::string(R"({"waiting":{"reason":")") + reason + R"("}})")));
    EXPECT_EQ(ToPendingView(objects, {}).kind, Kind::kTrouble) << reason;
    EXPECT_EQ(ToPendingView(objects, {}).reason, reason);
    EXPECT_EQ(ToPlatformState(objects)->state, State::kPending) << reason;
  }
}

TEST(ParseJobOfAnyoneTest, LabelsDoNotMatter) {
  const auto found = ParseJobOfAnyone(
      R"({"kind":"JobList","items":[{"kind":"Job","metadata":{"name":"train","uid":"u"}}]})",
      R"({"kind":"PodList","items":[{"kind":"Pod","metadata":{"name":"p"}}]})");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->job->name, "train");
  EXPECT_EQ(found->pods.size(), 1u);
  const auto none =
      ParseJobOfAnyone(R"({"kind":"JobList","items":[]})", R"({"kind":"PodList","items":[]})");
  EXPECT_FALSE(none->job.has_value());
  EXPECT_TRUE(absl::IsUnavailable(ParseJobOfAnyone("", "").status()));
}

TEST(ParseEventsTest, AreInTheOrderOfTheirTimes) {
  const auto events = ParseEvents(R"({"kind":"EventList","items":[
      {"reason":"B","lastTimestamp":"2026-01-01T00:00:02Z","involvedObject":{"name":"p"}},
      {"reason":"A","lastTimestamp":null,"eventTime":"2026-01-01T00:00:01.5Z"}]})");
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].reason, "A");
  EXPECT_EQ((*events)[1].object, "p");
}

TEST(ParseServiceTest, TakesAnAddressOrAName) {
  const auto service = [](const std::string& balancer) {
    return ParseService(
        R"({"kind":"Service","metadata":{"ownerReferences":[{"kind":"Job","uid":"u-1"}]},
            "spec":{"type":"LoadBalancer","ports":[{"port":8080,"nodePort":31000}]},
            "status":{"loadBalancer":)" +
        balancer + "}}");
  };
  EXPECT_EQ(service("{}")->address, "");
  EXPECT_EQ(service(R"({"ingress":[{"ip":"10.0.0.7"}]})")->address, "10.0.0.7");
  EXPECT_EQ(service(R"({"ingress":[{"hostname":"lb.example"}]})")->address, "lb.example");
  EXPECT_EQ(service("{}")->node_port, 31000);
  EXPECT_EQ(service("{}")->owner_uid, "u-1");
}

std::string Node(const char* name, const char* ready, const char* spec, const char* allocatable) {
  return std::string(R"({"kind":"Node","metadata":{"name":")") + name +
         R"(","labels":{"zone":"a"}},"spec":)" + spec + R"(,"status":{"allocatable":)" +
         allocatable + R"(,"conditions":[{"type":"Ready","status":")" + ready +
         R"("}],"addresses":[{"type":"InternalIP","address":"10.0.0.1"},
                             {"type":"ExternalIP","address":"1.2.3.4"}]}})";
}

std::vector<NodeView> Nodes(const std::string& items) {
  const auto nodes = ParseNodes(R"({"kind":"List","items":[)" + items + "]}");
  EXPECT_TRUE(nodes.ok());
  return nodes.ok() ? *nodes : std::vector<NodeView>();
}

TEST(FindGpuNodeTest, OneNodeMustHaveThemAll) {
  const char kFour[] = R"({"nvidia.com/gpu":"4"})";
  const auto nodes = Nodes(Node("a", "True", "{}", kFour) + "," + Node("b", "True", "{}", kFour));
  EXPECT_EQ(nodes[0].address, "1.2.3.4");
  EXPECT_THAT(*FindGpuNode(nodes, {}, 4), HasSubstr("node a has 4"));
  const absl::Status eight = FindGpuNode(nodes, {}, 8).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(eight));
  EXPECT_THAT(std::string(base::ToStd(eight.message())), HasSubstr("is 4"));
}

TEST(FindGpuNodeTest, AddsNothingThatCannotBeUsed) {
  const char kFour[] = R"({"nvidia.com/gpu":"4"})";
  const struct {
    std::string nodes;
    const char* advice;
  } kCases[] = {
      {Node("a", "True", "{}", R"({"cpu":"8"})"), "device plugin"},
      {Node("a", "True", "{}", R"({"nvidia.com/mig-1g.10gb":"7"})"), "--gpu-resource"},
      {Node("a", "False", "{}", kFour), "no node of the cluster is ready"},
      {Node("a", "Unknown", "{}", kFour), "no node of the cluster is ready"},
      {Node("a", "True", R"({"unschedulable":true})", kFour), "no node of the cluster is ready"},
      {Node("a", "True", "{}", R"({"nvidia.com/gpu":"0"})"), "--gpu-count"},
  };
  for (const auto& each : kCases) {
    const absl::Status status = FindGpuNode(Nodes(each.nodes), {}, 1).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status));
    EXPECT_THAT(std::string(base::ToStd(status.message())), HasSubstr(each.advice));
  }
  KubernetesOptions elsewhere;
  elsewhere.node_selector = {{"zone", "b"}};
  EXPECT_FALSE(FindGpuNode(Nodes(Node("a", "True", "{}", kFour)), elsewhere, 1).ok());
}

TEST(ParseClientVersionTest, TwentyIsOldEnough) {
  const auto version = [](const std::string& text) {
    return ParseClientVersion(R"({"clientVersion":{"gitVersion":")" + text + R"("}})");
  };
  EXPECT_EQ(*version("v1.20.2"), "v1.20.2");
  EXPECT_EQ(*version("v1.32.4-dispatcher"), "v1.32.4-dispatcher");
  EXPECT_TRUE(absl::IsFailedPrecondition(version("v1.19.16").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(ParseClientVersion("oc v3").status()));
}

TEST(ParseMetadataTest, HasLabelsAndOwner) {
  const auto object = ParseMetadata(
      R"({"uid":"x","labels":{"tao-job":"j"},"ownerReferences":[{"kind":"Job","uid":"u"}]})");
  ASSERT_TRUE(object.ok());
  EXPECT_EQ(object->owner_uid, "u");
  EXPECT_EQ(object->labels.at("tao-job"), "j");
  EXPECT_FALSE(object->deleting);
}

TEST(HasPullSecretsTest, OfAServiceAccount) {
  EXPECT_TRUE(HasPullSecrets(R"({"kind":"ServiceAccount","imagePullSecrets":[{"name":"ngc"}]})"));
  EXPECT_FALSE(HasPullSecrets(R"({"kind":"ServiceAccount"})"));
  EXPECT_FALSE(HasPullSecrets(""));
}

}  // namespace
}  // namespace tao::platforms
