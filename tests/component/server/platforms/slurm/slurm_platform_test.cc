// SlurmPlatform with a program in ssh's place that runs the remote command on this host, and with
// Slurm's programs as scripts that keep one job as a file: what a real cluster cannot be made to
// do. What it does is in tests/e2e.

#include "server/platforms/slurm/slurm_platform.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "server/base/strings.h"
#include "tests/component/server/registry/temporary_folder.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kJobId[] = "33333333-3333-4333-8333-333333333333";
constexpr char kName[] = "tao-33333333-3333-4333-8333-333333333333";
constexpr char kDaemonId[] = "11111111-1111-4111-8111-111111111111";

// Host "down" refuses, "closed" forbids. -N is a tunnel: it listens where -L says.
constexpr char kSsh[] = R"SCRIPT(#!/bin/bash
echo "$*" >> "$folder/ssh_calls"
while [ $# -gt 0 ]; do
  case "$1" in
    -o|-i|-F) shift ;;
    -N) tunnel=1 ;;
    -L) shift; forward=$1 ;;
    --) shift; host=$1; shift; break ;;
  esac
  shift
done
case "$host" in
  *down) echo 'ssh: connect to host down port 22: Connection refused' >&2; exit 255 ;;
  *closed) echo 'me@closed: Permission denied (publickey).' >&2; exit 255 ;;
esac
if [ -n "$tunnel" ]; then
  exec /usr/bin/python3 -c 'import socket, sys, time
s = socket.create_server(("127.0.0.1", int(sys.argv[1]))); time.sleep(1000)' "$(cut -d: -f2 <<< "$forward")"
fi
export PATH="$folder/bin:$PATH"
cd "$folder" && exec /bin/sh -c "$*"
)SCRIPT";

// FOLDER/job: "ID|NAME|STATE|COMMENT"; FOLDER/squeue: what squeue says instead, and fails;
// FOLDER/late: how many questions by name come before the job is there.
constexpr char kSqueue[] = R"SCRIPT(#!/bin/bash
if [ -s "$folder/squeue" ]; then cat "$folder/squeue" >&2; exit 1; fi
if [ -s "$folder/late" ] && [[ "$*" == *%k* ]]; then
  left=$(cat "$folder/late")
  if [ "$left" -gt 0 ]; then echo $((left - 1)) > "$folder/late"; exit 0; fi
fi
case "$*" in
  *%k*) cat "$folder/job" 2>/dev/null; exit 0 ;;
  *--states=PENDING*) exit 0 ;;
  *--jobs=*)
    [ -e "$folder/job" ] || { echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1; }
    echo "$(tail -n 1 "$folder/job" | cut -d'|' -f3)|node7|node7|None|N/A" ;;
esac
)SCRIPT";
constexpr char kSbatch[] = R"SCRIPT(#!/bin/bash
cat > "$folder/script"; echo "$*" >> "$folder/sbatch_calls"; echo "${HF_TOKEN-none}" > "$folder/token"
if [ -e "$folder/sbatch" ]; then . "$folder/sbatch"; fi
echo "7|$(sed -n 's/^#SBATCH --job-name=//p' "$folder/script")|RUNNING|$(
  sed -n 's/^#SBATCH --comment=//p' "$folder/script")" > "$folder/job"
log=$(sed -n 's/^#SBATCH --output=//p' "$folder/script"); log=${log//%j/7}
printf '%s\n' 'tao-inference: port 20001 of node node7 is free' \
  "tao-inference: port 20001 is the service's" > "$log"
echo 7
)SCRIPT";
constexpr char kScancel[] = R"SCRIPT(#!/bin/bash
echo "$*" >> "$folder/scancel_calls"
if [ -s "$folder/scancel" ]; then cat "$folder/scancel" >&2; exit 210; fi
rm -f "$folder/job"
)SCRIPT";
constexpr char kSacct[] = "#!/bin/bash\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n";

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

// Both sessions; keeps what the driver asks for.
class Session : public LaunchSession, public StopSession {
 public:
  absl::Status BeginStep(registry::Step step) override {
    if (token.cancelled()) return absl::CancelledError("cancelled");
    steps.push_back("begin " + std::string(registry::ToString(step)));
    return absl::OkStatus();
  }
  absl::Status EndStep(registry::Step step) override {
    steps.push_back("end " + std::string(registry::ToString(step)));
    return absl::OkStatus();
  }
  absl::Status SaveDriverState(const std::map<std::string, std::string>& state) override {
    saved = state;
    return absl::OkStatus();
  }
  std::map<std::string, std::string> SavedDriverState() const override { return saved; }
  void ReportProgress(const registry::Progress&) override {}
  void ReportPending(std::string_view reason, std::string_view) override {
    pending.emplace_back(reason);
    if (reason == cancel_at) token.Cancel();
  }
  int host_port() const override { return port; }
  absl::StatusOr<int> NextPort() override { return absl::ResourceExhaustedError("none is left"); }
  absl::StatusOr<int> InstancePort(const std::string&, bool) override {
    return absl::InternalError("not an instance");
  }
  const std::vector<std::string>& gpu_ids() const override { return gpus; }
  const base::CancelToken& cancel() const override { return token; }

  std::vector<std::string> steps, pending, gpus;
  std::map<std::string, std::string> saved;
  std::string cancel_at;  // the reason at which somebody stops the start
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

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  close(fd);
  return ntohs(address.sin_port);
}

class SlurmPlatformTest : public testing::Test {
 protected:
  void SetUp() override {
    mkdir(PathOf("bin").c_str(), 0755);
    Program("ssh", kSsh);
    Program("bin/squeue", kSqueue);
    Program("bin/sbatch", kSbatch);
    Program("bin/scancel", kScancel);
    Program("bin/sacct", kSacct);
    Program("bin/scontrol", "#!/bin/sh\necho ExitCode=3:0\n");
    environment_ = {{"SLURM_USER", "me"},
                    {"SLURM_HOSTNAME", "login"},
                    {"SLURM_PARTITION", "gpu"},
                    {"SLURM_BASE_RESULTS_DIR", folder_.path()},
                    {"HF_TOKEN", "the token"}};
    plan_.job_id = kJobId;
    plan_.network_arch = "x";
    plan_.image = "nvcr.io/x:1";
    plan_.inner_command = launch::InnerCommand({"serve", "--port", "0"}, 2);
    plan_.gpus.mode = launch::GpuMode::kNone;
    plan_.secret_names = {"HF_TOKEN", "NOT_SET"};
    session_.port = FreePort();
    SlurmConfig config;
    config.daemon_id = kDaemonId;
    config.tunnels = &tunnels_;
    config.ssh_program = PathOf("ssh");
    config.poll = {.first = absl::Milliseconds(20), .longest = absl::Milliseconds(50)};
    config.lost_answer_wait = absl::Seconds(1);
    config.log_wait = absl::Milliseconds(500);
    config.stop_wait = absl::Seconds(1);
    config.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = environment_.find(name);
      return found == environment_.end() ? std::nullopt : std::optional(found->second);
    };
    platform_ = std::make_unique<SlurmPlatform>(std::move(config));
  }

  std::string PathOf(const std::string& name) const { return folder_.path() + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(PathOf(name)) << text;
  }
  void Program(const std::string& name, std::string text) const {
    text.insert(text.find('\n') + 1, "folder=" + folder_.path() + "\n");
    Write(name, text);
    chmod(PathOf(name).c_str(), 0755);
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(PathOf(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool Exists(const std::string& name) const { return access(PathOf(name).c_str(), F_OK) == 0; }
  int Submissions() const {
    const std::string calls = Read("sbatch_calls");
    return static_cast<int>(std::count(calls.begin(), calls.end(), '\n'));
  }
  void JobIs(const std::string& state) const {
    Write("job", std::string("7|") + kName + "|" + state + "|tao-daemon=" + kDaemonId + "\n");
  }
  PlatformJob Job() const {
    return {.job_id = kJobId,
            .host_port = 0,
            .driver_state = {{"slurm_id", "7"}, {"log", PathOf("log")}}};
  }

  registry::TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;
  launch::LaunchPlan plan_;
  Session session_;
  Tunnels tunnels_{{.first = absl::Milliseconds(10), .longest = absl::Milliseconds(50)}};
  std::unique_ptr<SlurmPlatform> platform_;
};

TEST_F(SlurmPlatformTest, LaunchesAndStops) {
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(session_.steps, ElementsAre("begin submit-job", "end submit-job", "begin open-tunnel",
                                          "end open-tunnel"));
  EXPECT_EQ(Read("token"), "the token\n");
  EXPECT_THAT(Read("script"), testing::Not(HasSubstr("the token")));
  EXPECT_THAT(Read("ssh_calls"), testing::Not(HasSubstr("the token")));
  EXPECT_TRUE(tunnels_.StateOf(kJobId).ok());
  const Platform::Endpoint endpoint = platform_->EndpointOf(*job);
  EXPECT_EQ(endpoint.platform_job_id, "7");
  EXPECT_EQ(endpoint.slurm_node, "node7");
  EXPECT_EQ(endpoint.backend.port, session_.port);
  EXPECT_THAT(Read("ssh_calls"), HasSubstr(":node7:20001"));
  EXPECT_EQ(platform_->Observe(*job)->state, State::kRunning);
  Lines lines;
  EXPECT_TRUE(platform_->StreamLogs(*job, {}, lines, session_.token).ok());
  EXPECT_THAT(lines.lines, Contains(HasSubstr("port 20001")));
  ASSERT_TRUE(platform_->Stop(*job, {}, session_).ok());
  EXPECT_TRUE(absl::IsNotFound(tunnels_.StateOf(kJobId)));
  EXPECT_FALSE(Exists("job"));
  EXPECT_TRUE(platform_->Stop(*job, {}, session_).ok()) << "gone already";
}

TEST_F(SlurmPlatformTest, WhatADeadDaemonSubmittedIsFoundByItsName) {
  session_.saved = {{"job_name", kName}, {"submitting", "1"}};
  JobIs("RUNNING");
  Write(std::string(kName) + "-7.log", "tao-inference: port 20005 is the service's\n");
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(Submissions(), 0);
  EXPECT_EQ(job->driver_state.at("node_port"), "20005");
}

// The dead daemon's ssh ended with it; its sbatch on the login host need not have.
TEST_F(SlurmPlatformTest, WhatADeadDaemonSubmittedIsWaitedForBeforeItIsSubmittedAgain) {
  session_.saved = {{"job_name", kName}, {"submitting", "1"}};
  JobIs("RUNNING");
  Write("late", "2");
  Write(std::string(kName) + "-7.log", "tao-inference: port 20005 is the service's\n");
  const auto job = platform_->Launch(plan_, session_);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(Submissions(), 0);
  EXPECT_FALSE(job->driver_state.contains("submitting"));
}

TEST_F(SlurmPlatformTest, AStopWaitsForAJobWhoseSubmissionWasNotAnswered) {
  JobIs("PENDING");
  Write("late", "1");
  const PlatformJob in_doubt = {.job_id = kJobId,
                                .driver_state = {{"job_name", kName}, {"submitting", "1"}}};
  ASSERT_TRUE(platform_->Stop(in_doubt, {}, session_).ok());
  EXPECT_FALSE(Exists("job"));
  EXPECT_TRUE(platform_->Stop(in_doubt, {}, session_).ok()) << "and not for ever";
}

TEST_F(SlurmPlatformTest, SeveralJobsOfOneNameAreAnErrorAndCancelled) {
  session_.saved = {{"job_name", kName}, {"submitting", "1"}};
  Write("job", std::string("7|") + kName + "|RUNNING|x\n8|" + kName + "|PENDING|x\n");
  const absl::Status status = platform_->Launch(plan_, session_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("7, 8"));
  EXPECT_FALSE(Exists("job"));
  EXPECT_EQ(Submissions(), 0);
}

TEST_F(SlurmPlatformTest, ASubmissionWithoutAnAnswerIsRepeatedAFewTimes) {
  Write("sbatch", "echo noise; exit 0\n");
  const absl::Status status = platform_->Launch(plan_, session_).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(Submissions(), 3);
}

TEST_F(SlurmPlatformTest, ARefusalIsNotRepeated) {
  Write("sbatch",
        "echo 'sbatch: error: Batch job submission failed: Invalid account or account/partition "
        "combination specified' >&2; exit 1\n");
  const absl::Status status = platform_->Launch(plan_, session_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("SLURM_ACCOUNT"));
  EXPECT_EQ(Submissions(), 1);
}

// What sbatch does, and the reason that is told when somebody stops the start.
struct CancelCase {
  const char* name;
  const char* state;  // of the job; empty: sbatch answers nothing, and there is none
  const char* log;
  const char* squeue;  // what it says once the job is submitted
  const char* told;
};

class SlurmCancelTest : public SlurmPlatformTest, public testing::WithParamInterface<CancelCase> {};

// Also a shutdown: the job keeps its place, and a Stop finds it.
TEST_P(SlurmCancelTest, ACancelledStartLeavesTheJobToWhoCancelledIt) {
  const CancelCase& row = GetParam();
  std::string sbatch;
  if (*row.state != '\0') {
    sbatch = std::string("echo '7|") + kName + "|" + row.state + "|tao-daemon=" + kDaemonId +
             "' > \"$folder/job\"\n";
  }
  sbatch += std::string("printf '%s' '") + row.log + "' > \"$folder/" + kName + "-7.log\"\n" +
            "printf '%s' '" + row.squeue + "' > \"$folder/squeue\"\n" +
            (*row.state != '\0' ? "echo 7\n" : "") + "exit 0\n";
  Write("sbatch", sbatch);
  session_.cancel_at = row.told;
  const absl::Status status = platform_->Launch(plan_, session_).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(Exists("job"), *row.state != '\0');
  Write("squeue", "");
  Session stop;
  EXPECT_TRUE(platform_->Stop({.job_id = kJobId, .driver_state = session_.saved}, {}, stop).ok());
  EXPECT_FALSE(Exists("job"));
  EXPECT_TRUE(absl::IsNotFound(tunnels_.StateOf(kJobId)));
}

INSTANTIATE_TEST_SUITE_P(
    Phases, SlurmCancelTest,
    testing::ValuesIn<CancelCase>({
        {"Submitting", "", "", "", "submitting"},
        {"Queue", "PENDING", "", "", "None"},
        {"Beginning", "RUNNING", "", "", "beginning"},
        {"FetchingImage", "RUNNING", "tao-inference: port 20001 of node node7 is free\n", "",
         "fetching_image"},
        {"Unreachable", "RUNNING", "", "slurm_load_jobs error: Unable to contact slurm controller",
         "cluster_unreachable"},
    }),
    [](const auto& row) { return std::string(row.param.name); });

TEST_F(SlurmPlatformTest, AJobThatEndsBeforeItServesIsExplained) {
  Write("sbatch", std::string("echo '7|") + kName +
                      "|FAILED|x' > \"$folder/job\"; echo 'pyxis:     [ERROR] Could not process "
                      "JSON input' > \"$folder/" +
                      kName + "-7.log\"; echo 7; exit 0\n");
  const absl::Status status = platform_->Launch(plan_, session_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("exit status 3"));
  EXPECT_THAT(Message(status), HasSubstr("authn.nvidia.com"));
}

TEST_F(SlurmPlatformTest, ALogThatIsNotOnSharedStorageIsAnError) {
  Write("sbatch", std::string("echo '7|") + kName + "|RUNNING|tao-daemon=" + kDaemonId +
                      "' > \"$folder/job\"; echo 7; exit 0\n");
  const absl::Status status = platform_->Launch(plan_, session_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("--output-dir"));
  EXPECT_FALSE(Exists("job")) << "it is not left behind";
}

TEST_F(SlurmPlatformTest, ASecretWithALineBreakIsRefusedWithoutBeingShown) {
  environment_["HF_TOKEN"] = "alpha\nomega";
  const absl::Status status = platform_->Launch(plan_, session_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(Message(status), HasSubstr("HF_TOKEN"));
  EXPECT_THAT(Message(status), testing::Not(HasSubstr("alpha")));
  EXPECT_EQ(Submissions(), 0);
}

TEST_F(SlurmPlatformTest, WhatCannotBeAskedIsNeverGone) {
  JobIs("RUNNING");
  for (const char* said : {"slurm_load_jobs error: Unable to contact slurm controller",
                           "slurm_load_jobs error: Protocol authentication error", "anything"}) {
    Write("squeue", said);
    EXPECT_TRUE(absl::IsUnavailable(platform_->Observe(Job()).status())) << said;
    EXPECT_TRUE(absl::IsUnavailable(platform_->Stop(Job(), {}, session_))) << said;
  }
  environment_["SLURM_HOSTNAME"] = "closed";  // not even what asks for a person
  EXPECT_TRUE(absl::IsUnavailable(platform_->Observe(Job()).status()));
  environment_.erase("SLURM_HOSTNAME");
  EXPECT_TRUE(absl::IsUnavailable(platform_->Observe(Job()).status()));
  EXPECT_TRUE(Exists("job"));
}

TEST_F(SlurmPlatformTest, GoneIsWhatTheControllerSays) {
  EXPECT_EQ(platform_->Observe(Job())->state, State::kGone);
}

TEST_F(SlurmPlatformTest, AStopThatIsRefusedIsAnErrorAndOneThatLastsIsAskedAgain) {
  JobIs("RUNNING");
  Write("scancel", "scancel: error: Kill job error on job id 7: Access/permission denied");
  EXPECT_TRUE(absl::IsFailedPrecondition(platform_->Stop(Job(), {}, session_)));
  Write("scancel",
        "scancel: error: Kill job error on job id 7: Job/step already completing or completed");
  JobIs("COMPLETING");
  EXPECT_TRUE(absl::IsUnavailable(platform_->Stop(Job(), {}, session_)));
}

TEST_F(SlurmPlatformTest, AStopThatLastsEndsWithTheDaemon) {
  JobIs("COMPLETING");
  Write("scancel",
        "scancel: error: Kill job error on job id 7: Job/step already completing or completed");
  const std::jthread shutdown([this] {
    while (!Exists("scancel_calls")) std::this_thread::yield();
    session_.token.Cancel();
  });
  EXPECT_TRUE(absl::IsCancelled(platform_->Stop(Job(), {}, session_)));
}

TEST_F(SlurmPlatformTest, AnotherToolsJobIsStoppedByTheIdOfItsEntry) {
  const auto entry = [](const std::string& id) {
    return PlatformJob{.job_id = kJobId,
                       .driver_state = {{"foreign", "1"}, {"platform_job_id", id}}};
  };
  EXPECT_TRUE(platform_->CheckForeign(entry("7")).ok());
  EXPECT_TRUE(platform_->CheckForeign(entry("7;east")).ok());
  for (const char* id : {"", "train-1", "7; rm -r /", "-1"}) {
    const absl::Status lacking = platform_->CheckForeign(entry(id));
    EXPECT_TRUE(absl::IsFailedPrecondition(lacking)) << id;
    EXPECT_THAT(Message(lacking), HasSubstr("platform_job_id"));
  }
  Write("job", "7|train|RUNNING|\n");
  ASSERT_TRUE(platform_->Stop(entry("7"), {}, session_).ok());
  EXPECT_EQ(Read("scancel_calls"), "7\n");
  EXPECT_TRUE(platform_->Stop(entry("7"), {}, session_).ok()) << "gone already";
}

TEST_F(SlurmPlatformTest, TheNextHostIsAskedAndKept) {
  JobIs("RUNNING");
  environment_["SLURM_HOSTNAME"] = "down,login";
  EXPECT_EQ(platform_->Observe(Job())->state, State::kRunning);
  Write("ssh_calls", "");
  EXPECT_EQ(platform_->Observe(Job())->state, State::kRunning);
  EXPECT_THAT(Read("ssh_calls"), testing::Not(HasSubstr("me@down")));
}

TEST_F(SlurmPlatformTest, OnlyOurJobsAreFound) {
  Write("job", std::string("7|") + kName + "|RUNNING|tao-daemon=" + kDaemonId +
                   "\n8|tao-44444444-4444-4444-8444-444444444444|RUNNING|tao-daemon=other\n" +
                   "9|train|RUNNING|tao-daemon=" + kDaemonId + "\n");
  const auto found = platform_->FindOurs();
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(found->front().job_id, kJobId);
}

TEST_F(SlurmPlatformTest, WithoutALogThereIsNone) {
  JobIs("PENDING");
  Lines lines;
  EXPECT_TRUE(absl::IsNotFound(platform_->StreamLogs(Job(), {}, lines, session_.token)));
  EXPECT_TRUE(absl::IsNotFound(
      platform_->StreamLogs({.job_id = kJobId, .driver_state = {}}, {}, lines, session_.token)));
}

TEST_F(SlurmPlatformTest, GpusAreTheClustersToChoose) {
  EXPECT_TRUE(platform_->GpuIds({.mode = launch::GpuMode::kAuto, .count = 2, .ids = {}})->empty());
  for (const launch::GpuRequest& request :
       {launch::GpuRequest{.mode = launch::GpuMode::kDevice, .count = 1, .ids = {"0"}},
        launch::GpuRequest{.mode = launch::GpuMode::kTegra, .count = 1, .ids = {}}}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(platform_->GpuIds(request).status()));
  }
}

}  // namespace
}  // namespace tao::platforms
