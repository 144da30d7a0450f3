// KubernetesPlatform with a program in kubectl's place that keeps one Job as files: each phase of a
// start, each way in which a question fails. The real kubectl is in tests/e2e.

#include "server/platforms/kubernetes/kubernetes_platform.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <thread>

#include "server/base/strings.h"
#include "tests/component/server/registry/temporary_folder.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr char kJobId[] = "33333333-3333-4333-8333-333333333333";

// FOLDER/down: what it says instead, and fails. FOLDER/Job: there is one. FOLDER/pod: its status.
// FOLDER/service, node: these objects. FOLDER/lost: the answer to the Job's creation is.
// FOLDER/late: how many questions come before the Job is there. FOLDER/stays: a Job that is deleted
// is there all the same.
constexpr char kKubectl[] = R"SCRIPT(#!/bin/bash
echo "$*" >> "$folder/calls"
if [ -s "$folder/down" ]; then cat "$folder/down" >&2; exit 1; fi
labels='"labels":{"tao-job":"33333333-3333-4333-8333-333333333333","tao-daemon":"d"}'
case "$*" in
  "config current-context") echo test ;;
  *" create "*)
    input=$(cat)
    [[ $input =~ \"kind\":\"([A-Za-z]+)\" ]] && kind=${BASH_REMATCH[1]}
    if [ -e "$folder/$kind" ]; then echo 'Error from server (AlreadyExists): x already exists' >&2; exit 1; fi
    touch "$folder/$kind"
    if [ "$kind" = Job ] && [ -e "$folder/lost" ]; then
      echo 'error: error when creating "STDIN": Post "https://x": EOF' >&2; exit 1
    fi
    echo '{"kind":"Job","metadata":{"uid":"u-1"}}' ;;
  *"jsonpath={.metadata}"*)
    echo "{\"uid\":\"u-2\",$labels,\"ownerReferences\":[{\"kind\":\"Job\",\"uid\":\"u-1\"}]}" ;;
  *" get service "*) cat "$folder/service" ;;
  *" get node "*) cat "$folder/node" ;;
  *" get events "*) echo '{"kind":"List","items":[]}' ;;
  *" get jobs"* | *" get pods"*)
    left=$(cat "$folder/late" 2>/dev/null)
    if [ "${left:-0}" -gt 0 ]; then echo $((left - 1)) > "$folder/late"; fi
    if [ ! -e "$folder/Job" ] || [ "${left:-0}" -gt 0 ]; then echo '{"kind":"List","items":[]}'; exit 0; fi
    deleting=""
    if [ -e "$folder/deleted" ]; then deleting='"deletionTimestamp":"2026-01-01T00:00:00Z",'; fi
    echo "{\"kind\":\"List\",\"items\":[
      {\"kind\":\"Job\",\"metadata\":{\"name\":\"tao-x\",\"uid\":\"u-1\",$deleting$labels},\"status\":{}},
      {\"kind\":\"Pod\",\"metadata\":{\"name\":\"pod-1\",$labels},\"spec\":{\"nodeName\":\"$(
        cat "$folder/node_name")\"},\"status\":$(cat "$folder/pod")}"
    case "$*" in *services*) echo ","; sed "s/\"metadata\":{/&$labels,/" "$folder/service" ;; esac
    echo "]}" ;;
  *" delete jobs "*) if [ -e "$folder/stays" ]; then touch "$folder/deleted"; else rm -f "$folder/Job"; fi ;;
  *" delete services "*) rm -f "$folder/Service" ;;
  *" delete secrets "*) rm -f "$folder/Secret" ;;
  *" logs "*) echo "a line" ;;
  *port-forward*)
    if [ -e "$folder/no_forward" ]; then echo 'error: error upgrading connection: x' >&2; exit 1; fi
    port="${@: -1}"
    exec /usr/bin/python3 -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); time.sleep(1000)' "${port%%:*}" ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
)SCRIPT";

constexpr char kRunning[] =
    R"({"phase":"Running","hostIP":"127.0.0.1",
        "containerStatuses":[{"name":"tao","state":{"running":{}}}]})";

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

// Both sessions; keeps what the driver asks for.
class Session : public LaunchSession, public StopSession {
 public:
  absl::Status BeginStep(registry::Step) override { return absl::OkStatus(); }
  absl::Status EndStep(registry::Step) override { return absl::OkStatus(); }
  absl::Status SaveDriverState(const std::map<std::string, std::string>& state) override {
    saved = state;
    return absl::OkStatus();
  }
  std::map<std::string, std::string> SavedDriverState() const override { return saved; }
  void ReportProgress(const registry::Progress&) override {}
  void ReportPending(std::string_view reason, std::string_view message) override {
    told = std::string(message);
    if (reason == cancel_at) token.Cancel();
  }
  int host_port() const override { return port; }
  absl::StatusOr<int> NextPort() override { return absl::ResourceExhaustedError("none is left"); }
  absl::StatusOr<int> InstancePort(const std::string&, bool) override {
    return absl::InternalError("not an instance");
  }
  const std::vector<std::string>& gpu_ids() const override { return gpus; }
  const base::CancelToken& cancel() const override { return token; }

  std::vector<std::string> gpus;
  std::map<std::string, std::string> saved;
  std::string cancel_at;  // the reason at which somebody stops the start
  std::string told;
  int port = 0;
  base::CancelToken token;
};

class Lines : public LogSink {
 public:
  bool OnLine(std::string_view line) override {
    lines.emplace_back(line);
    return true;
  }
  std::vector<std::string> lines;
};

// A server on 127.0.0.1 that accepts and says nothing.
class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 8), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  int port() const { return port_; }

 private:
  const int fd_;
  int port_ = 0;
};

int FreePort() { return Listener().port(); }

class KubernetesPlatformTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string script = kKubectl;
    script.insert(script.find('\n') + 1, "folder=" + folder_.path() + "\n");
    Write("kubectl", script);
    chmod(PathOf("kubectl").c_str(), 0755);
    Write("kubeconfig", "{}");
    Write("pod", kRunning);
    Write("node_name", "node-1");
    Service("", 0);
    Write("node", R"({"kind":"Node","status":{"addresses":[
        {"type":"InternalIP","address":"127.0.0.1"}]}})");
    environment_ = {{"KUBECONFIG", PathOf("kubeconfig")}, {"HF_TOKEN", "the token"}};
    plan_.job_id = kJobId;
    plan_.network_arch = "x";
    plan_.image = "x:1";
    plan_.shm_size = "16g";
    plan_.inner_command = launch::InnerCommand({"serve"}, std::nullopt);
    plan_.gpus.mode = launch::GpuMode::kNone;
    plan_.secret_names = {"HF_TOKEN"};
    session_.port = FreePort();
    KubernetesConfig config;
    config.kubectl_program = PathOf("kubectl");
    config.daemon_id = "d";
    config.poll = {.first = absl::Milliseconds(20), .longest = absl::Milliseconds(50)};
    config.stop_limit = absl::Seconds(1);
    config.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = environment_.find(name);
      return found == environment_.end() ? std::nullopt : std::optional(found->second);
    };
    platform_ = std::make_unique<KubernetesPlatform>(std::move(config), tunnels_);
  }

  std::string PathOf(const std::string& name) const { return folder_.path() + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(PathOf(name)) << text;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(PathOf(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool Exists(const std::string& name) const { return access(PathOf(name).c_str(), F_OK) == 0; }
  void Service(const std::string& address, int node_port) const {
    const std::string ingress = address.empty() ? "" : R"("ingress":[{"ip":")" + address + R"("}])";
    Write("service",
          R"({"kind":"Service","metadata":{"name":"tao-x"},"spec":{"type":"LoadBalancer",)"
          R"("ports":[{"port":1,"nodePort":)" +
              std::to_string(node_port) + R"(}]},"status":{"loadBalancer":{)" + ingress + "}}}\n");
  }
  PlatformJob Foreign(const std::string& name) const {
    return {.job_id = kJobId, .driver_state = {{"foreign", "1"}, {"platform_job_id", name}}};
  }

  registry::TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;
  launch::LaunchPlan plan_;
  Session session_;
  Tunnels tunnels_{{.first = absl::Milliseconds(10), .longest = absl::Milliseconds(50)}};
  std::unique_ptr<KubernetesPlatform> platform_;
};

TEST_F(KubernetesPlatformTest, LaunchesAndStops) {
  plan_.platform_options = {{"service-type", "ClusterIP"}};
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_TRUE(tunnels_.StateOf(kJobId).ok());
  EXPECT_TRUE(Exists("Secret"));
  EXPECT_EQ(platform_->EndpointOf(*job).backend.port, session_.port);
  EXPECT_EQ(platform_->EndpointOf(*job).platform_job_id, std::string("tao-") + kJobId);
  EXPECT_EQ(platform_->Observe(*job)->state, State::kRunning);
  Lines lines;
  EXPECT_TRUE(platform_->StreamLogs(*job, {}, lines, session_.token).ok());
  EXPECT_EQ(lines.lines, std::vector<std::string>{"a line"});
  EXPECT_EQ(platform_->Launch(plan_, session_)->driver_state, job->driver_state) << "once more";
  EXPECT_EQ(platform_->FindOurs()->size(), 1U);
  ASSERT_TRUE(platform_->Stop(*job, {}, session_).ok());
  EXPECT_TRUE(absl::IsNotFound(tunnels_.StateOf(kJobId)));
  for (const char* kind : {"Job", "Service", "Secret"}) EXPECT_FALSE(Exists(kind)) << kind;
  EXPECT_TRUE(platform_->Stop(*job, {}, session_).ok()) << "gone already";
  EXPECT_EQ(platform_->Observe(*job)->state, State::kGone);
  EXPECT_TRUE(platform_->FindOurs()->empty());
  EXPECT_THAT(Read("calls"), Not(HasSubstr("the token")));
}

// What the cluster says of the pod, and the reason that is told when somebody stops the start.
struct CancelCase {
  const char* name;
  const char* pod;
  const char* service_type;
  const char* told;
  bool no_forward = false;
};

class KubernetesCancelTest : public KubernetesPlatformTest,
                             public testing::WithParamInterface<CancelCase> {};

// Also a shutdown: the Job keeps its place, and a Stop finds it.
TEST_P(KubernetesCancelTest, ACancelledStartLeavesTheJobToWhoCancelledIt) {
  const CancelCase& row = GetParam();
  Write("pod", row.pod);
  if (row.no_forward) Write("no_forward", "1");
  plan_.platform_options = {{"service-type", row.service_type}};
  session_.cancel_at = row.told;
  const absl::Status status = platform_->Launch(plan_, session_).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_TRUE(Exists("Job"));
  EXPECT_TRUE(absl::IsNotFound(tunnels_.StateOf(kJobId)));
  Session stop;
  EXPECT_TRUE(platform_->Stop({.job_id = kJobId, .driver_state = session_.saved}, {}, stop).ok());
  for (const char* kind : {"Job", "Service", "Secret"}) EXPECT_FALSE(Exists(kind)) << kind;
}

INSTANTIATE_TEST_SUITE_P(
    Phases, KubernetesCancelTest,
    testing::ValuesIn<CancelCase>({
        {"Queue",
         R"({"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False",
             "message":"0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}]})",
         "auto", "Unschedulable"},
        {"Pull",
         R"({"phase":"Pending","containerStatuses":[{"name":"tao",
             "state":{"waiting":{"reason":"ContainerCreating"}}}]})",
         "auto", "ContainerCreating"},
        {"PullTrouble",
         R"({"phase":"Pending","containerStatuses":[{"name":"tao",
             "state":{"waiting":{"reason":"ImagePullBackOff"}}}]})",
         "auto", "ImagePullBackOff"},
        {"Address", kRunning, "LoadBalancer", "WaitingForAddress"},
        {"Forward", kRunning, "ClusterIP", "OpeningPortForward", /*no_forward=*/true},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST_F(KubernetesPlatformTest, WhatCannotBeAskedIsNeverGone) {
  Write("Job", "");
  const PlatformJob job = {.job_id = kJobId,
                           .driver_state = {{"context", "c"}, {"namespace", "n"}}};
  for (const char* said : {
           "Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout",
           "error: You must be logged in to the server (Unauthorized)",
           "Error from server (Forbidden): jobs.batch is forbidden: User \"u\" cannot list",
           "Error in configuration: context was not found for specified context: c",
           "Error from server (NotFound): namespaces \"n\" not found",
           "anything",
       }) {
    Write("down", said);
    EXPECT_TRUE(absl::IsUnavailable(platform_->Observe(job).status())) << said;
    EXPECT_TRUE(absl::IsUnavailable(platform_->FindOurs().status())) << said;
    EXPECT_FALSE(platform_->Stop(job, {}, session_).ok()) << said;
  }
  environment_.erase("KUBECONFIG");
  environment_["HOME"] = "/nonexistent";
  EXPECT_TRUE(absl::IsUnavailable(platform_->FindOurs().status()));
  EXPECT_TRUE(Exists("Job"));
}

TEST_F(KubernetesPlatformTest, AnAddressThatChangesIsFollowed) {
  Service("127.0.0.1", 30001);
  plan_.platform_options = {{"service-type", "LoadBalancer"}, {"service-port", "1"}};
  auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(platform_->EndpointOf(*job).host_url, "http://127.0.0.1:1");
  EXPECT_TRUE(platform_->Observe(*job)->moved.empty());
  Service("", 30001);
  EXPECT_TRUE(platform_->Observe(*job)->moved.empty()) << "none is no other one";
  Service("127.0.0.2", 30001);
  const auto moved = platform_->Observe(*job)->moved;
  EXPECT_THAT(moved, UnorderedElementsAre(Pair("host", "127.0.0.2")));
  job->driver_state["host"] = moved.at("host");
  EXPECT_EQ(platform_->EndpointOf(*job).host_url, "http://127.0.0.2:1");
}

TEST_F(KubernetesPlatformTest, ANodeAndItsPortThatChangeAreFollowed) {
  const Listener node;
  const std::string port = std::to_string(node.port());
  Service("", node.port());
  plan_.platform_options = {{"service-type", "NodePort"}};
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(platform_->EndpointOf(*job).host_url, "http://127.0.0.1:" + port);
  EXPECT_TRUE(platform_->Observe(*job)->moved.empty());
  Service("", 2);  // somebody made the Service again
  EXPECT_THAT(platform_->Observe(*job)->moved, UnorderedElementsAre(Pair("port", "2")));
  Service("", node.port());
  Write("node_name", "node-2");
  Write("node", R"({"kind":"Node","status":{"addresses":[
      {"type":"InternalIP","address":"10.0.0.2"}]}})");
  EXPECT_THAT(platform_->Observe(*job)->moved,
              UnorderedElementsAre(Pair("address_of", "node-2"), Pair("host", "10.0.0.2")));
}

TEST_F(KubernetesPlatformTest, AJobWhoseCreationGotNoAnswerIsFound) {
  Write("lost", "1");
  plan_.platform_options = {{"service-type", "ClusterIP"}};
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_FALSE(job->driver_state.contains("creating"));
}

TEST_F(KubernetesPlatformTest, AStopWaitsForAJobWhoseCreationWasCutOff) {
  Write("Job", "");
  Write("late", "3");
  const PlatformJob in_doubt = {
      .job_id = kJobId, .driver_state = {{"context", "c"}, {"namespace", "n"}, {"creating", "1"}}};
  ASSERT_TRUE(platform_->Stop(in_doubt, {}, session_).ok());
  EXPECT_FALSE(Exists("Job"));
  EXPECT_TRUE(platform_->Stop(in_doubt, {}, session_).ok()) << "and not for ever";
}

TEST_F(KubernetesPlatformTest, AStopThatLastsIsToldAndEndsWithTheDaemon) {
  Write("Job", "");
  Write("stays", "1");
  const PlatformJob job = {.job_id = kJobId,
                           .driver_state = {{"context", "c"}, {"namespace", "n"}}};
  const absl::Status lasting = platform_->Stop(job, {}, session_);
  EXPECT_TRUE(absl::IsUnavailable(lasting)) << lasting;
  EXPECT_THAT(Message(lasting), HasSubstr("pod-1 on node node-1"));
  unlink(PathOf("deleted").c_str());
  const std::jthread shutdown([this] {
    while (!Exists("deleted")) std::this_thread::yield();
    session_.token.Cancel();
  });
  EXPECT_TRUE(absl::IsCancelled(platform_->Stop(job, {}, session_)));
}

TEST_F(KubernetesPlatformTest, AnotherToolsJobIsStoppedByTheNameInItsEntry) {
  EXPECT_TRUE(platform_->CheckForeign(Foreign("train-1")).ok());
  for (const std::string& name : {std::string(), std::string("Train_1"), std::string("-l"),
                                  std::string("a,b"), std::string(64, 'a')}) {
    const absl::Status lacking = platform_->CheckForeign(Foreign(name));
    EXPECT_TRUE(absl::IsFailedPrecondition(lacking)) << name;
    EXPECT_THAT(Message(lacking), HasSubstr("platform_job_id"));
  }
  Write("Job", "");
  Lines lines;
  EXPECT_TRUE(platform_->StreamLogs(Foreign("train-1"), {}, lines, session_.token).ok());
  EXPECT_THAT(Read("calls"), HasSubstr("logs job/train-1 --tail=200"));
  ASSERT_TRUE(platform_->Stop(Foreign("train-1"), {}, session_).ok());
  EXPECT_FALSE(Exists("Job"));
  const std::string calls = Read("calls");
  EXPECT_THAT(calls, HasSubstr("delete jobs train-1 --cascade=foreground"));
  EXPECT_THAT(calls, HasSubstr("get jobs --field-selector metadata.name=train-1"));
  EXPECT_THAT(calls, HasSubstr("get pods -l job-name=train-1"));
  EXPECT_THAT(calls,
              HasSubstr(std::string("delete secrets -l tao-job in (") + kJobId + ",train-1)"));
  EXPECT_TRUE(platform_->Stop(Foreign("train-1"), {}, session_).ok()) << "gone already";
}

}  // namespace
}  // namespace tao::platforms
