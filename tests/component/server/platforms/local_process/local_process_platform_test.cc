#include "server/platforms/local_process/local_process_platform.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <thread>

#include "server/io/file.h"
#include "server/io/subprocess.h"
#include "server/platforms/preflight.h"
#include "tests/component/server/platforms/local_process/job_fixture.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

TEST_F(LocalProcessTest, StartsObservesAndStops) {
  const std::string job_id = base::NewUuid();
  Session session;
  const auto job = platform_->Launch(PlanOf(job_id, "sleep 1000"), session);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(session.calls, ElementsAre("save", "begin spawn-process", "end spawn-process"));
  EXPECT_EQ(job->host_port, session.host_port());
  EXPECT_EQ(StateOf(job_id).state, State::kRunning);

  const Platform::Endpoint endpoint = platform_->EndpointOf(*job);
  const std::string port = std::to_string(job->host_port);
  EXPECT_EQ(endpoint.host_url, "http://localhost:" + port);
  EXPECT_EQ(endpoint.docker_url, "");
  EXPECT_EQ(endpoint.backend.host, "127.0.0.1");
  EXPECT_EQ(endpoint.backend.port, job->host_port);
  EXPECT_EQ(endpoint.backend.authority, "localhost:" + port);

  Session stop;
  EXPECT_TRUE(platform_->Stop(*job, {.grace_period = absl::Seconds(5)}, stop).ok());
  EXPECT_THAT(stop.calls, ElementsAre("begin end-job", "end end-job"));
  EXPECT_EQ(StateOf(job_id).state, State::kFailed);  // SIGTERM ended it
  EXPECT_TRUE(Stop(job_id).ok());                    // again
}

TEST_F(LocalProcessTest, HowItEndedIsKept) {
  const auto end_of = [this](const std::string& script) {
    const std::string job_id = Start(script);
    LinesToTheEnd(job_id);
    const PlatformState state = StateOf(job_id);
    return std::pair(state.state, state.exit_code.value_or(-1));
  };
  EXPECT_EQ(end_of("exit 0"), std::pair(State::kExited, 0));
  EXPECT_EQ(end_of("exit 3"), std::pair(State::kFailed, 3));
  EXPECT_EQ(end_of("kill -SEGV $$"), std::pair(State::kFailed, 139));
  EXPECT_EQ(end_of("bash -c 'kill -SEGV $$'; exit $?"), std::pair(State::kFailed, 139));
  EXPECT_EQ(end_of("no-such-program"), std::pair(State::kFailed, 127));
}

TEST_F(LocalProcessTest, WhatNeverWasIsGone) {
  EXPECT_EQ(StateOf(base::NewUuid()).state, State::kGone);
  EXPECT_TRUE(Stop(base::NewUuid()).ok());
  EXPECT_THAT(*platform_->FindOurs(), IsEmpty());
}

TEST_F(LocalProcessTest, ASecondLaunchFindsTheFirst) {
  const std::string job_id = base::NewUuid();
  const launch::LaunchPlan plan = PlanOf(job_id, "echo x >> started; sleep 1000");
  Session first, second;
  ASSERT_TRUE(platform_->Launch(plan, first).ok());
  const auto again = platform_->Launch(plan, second);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->host_port, first.host_port());
  EXPECT_THAT(second.calls, IsEmpty());
  // Also when it has ended in between.
  ASSERT_TRUE(Stop(job_id).ok());
  ASSERT_TRUE(platform_->Launch(plan, second).ok());
  EXPECT_THAT(second.calls, IsEmpty());
}

TEST_F(LocalProcessTest, OfManyLaunchesAtOnceOneStarts) {
  const std::string job_id = base::NewUuid();
  const launch::LaunchPlan plan = PlanOf(job_id, "echo x >> started; echo up; sleep 1000");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      LocalProcessPlatform platform(ConfigIn(state_dir_));
      Session session;
      const auto job = platform.Launch(plan, session);
      EXPECT_TRUE(job.ok()) << job.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  WaitForLine(job_id, "up");
  EXPECT_EQ(ReadText(FolderOf(job_id) + "/started"), "x\n");
  EXPECT_EQ(ProcessesWith(FolderOf(job_id)), 1);
}

TEST_F(LocalProcessTest, AServiceThatIgnoresSigtermIsKilledAfterItsGrace) {
  const std::string job_id = Start("trap '' TERM; echo up; while :; do sleep 0.01; done");
  WaitForLine(job_id, "up");
  ASSERT_TRUE(Stop(job_id, absl::Milliseconds(100)).ok());
  EXPECT_EQ(StateOf(job_id).exit_code, 128 + SIGKILL);
}

TEST_F(LocalProcessTest, AServiceMayUseItsGrace) {
  const std::string job_id =
      Start("trap 'echo saving; exit 0' TERM; echo up; while :; do sleep 0.01; done");
  WaitForLine(job_id, "up");
  ASSERT_TRUE(Stop(job_id).ok());
  EXPECT_EQ(StateOf(job_id).state, State::kExited);
  EXPECT_THAT(LinesToTheEnd(job_id), testing::Contains("saving"));
}

TEST_F(LocalProcessTest, WhatItStartedEndsWithIt) {
  // In its group, in a session of its own, and the orphan of a process that has ended: by name, so
  // that they can be told from each other in /proc.
  const std::string mark = base::NewUuid();
  const std::string script = "trap '' TERM; bash -c 'trap \"\" TERM; sleep 1000; : " + mark +
                             "' & "
                             "setsid bash -c 'trap \"\" TERM; echo up; sleep 1000; : " +
                             mark +
                             "' & "
                             "( bash -c 'trap \"\" TERM; sleep 1000; : " +
                             mark + "' & ) ; ";
  for (const bool stopped : {true, false}) {
    const std::string job_id = Start(script + (stopped ? "wait" : "sleep 0; exit 4"));
    if (stopped) {
      WaitForLine(job_id, "up");
      EXPECT_GE(ProcessesWith(mark), 3);
      ASSERT_TRUE(Stop(job_id, absl::Milliseconds(50)).ok());
    } else {
      // It ends by itself: what it left has 5 s, as it ignores SIGTERM.
      LinesToTheEnd(job_id);
      EXPECT_EQ(StateOf(job_id).exit_code, 4);
      ASSERT_TRUE(Stop(job_id).ok());  // for the parent, which has the mark in its command line too
    }
    EXPECT_EQ(ProcessesWith(mark), 0);
  }
}

TEST_F(LocalProcessTest, WhenTheParentIsKilledTheJobIsLostAndCanBeCleared) {
  const std::string mark = base::NewUuid();
  const std::string job_id = Start("bash -c 'echo up; sleep 1000; : " + mark + "'; : " + mark);
  WaitForLine(job_id, "up");
  const auto files = LookAtJob(FolderOf(job_id));
  ASSERT_TRUE(files.ok() && files->parent.has_value());
  ASSERT_EQ(kill(files->parent->pid, SIGKILL), 0);
  LinesToTheEnd(job_id);
  const PlatformState state = StateOf(job_id);
  EXPECT_EQ(state.state, State::kFailed);
  EXPECT_THAT(state.detail, HasSubstr("parent process was killed"));
  ASSERT_TRUE(Stop(job_id).ok());
  EXPECT_EQ(ProcessesWith(mark), 0);
}

TEST_F(LocalProcessTest, TheEnvironmentIsThePlansAndThreeNamesAndNoArgumentHoldsASecret) {
  const std::string secret = "s3cret-" + base::NewUuid();
  LocalProcessConfig config = ConfigIn(state_dir_);
  config.path_prefix = "/opt/models";
  config.environment = [&](const std::string& name) -> std::optional<std::string> {
    if (name == "HF_TOKEN") return secret;
    if (name == "PATH") return "/usr/bin:/bin";
    if (name == "HOME") return "/root";
    return name == "SSH_AUTH_SOCK" ? std::optional<std::string>("/run/agent") : std::nullopt;
  };
  LocalProcessPlatform platform(config);
  const std::string job_id = base::NewUuid();
  launch::LaunchPlan plan = PlanOf(job_id, "while :; do sleep 1000; done");
  plan.secret_names = {"HF_TOKEN"};
  Session session;
  ASSERT_TRUE(platform.Launch(plan, session).ok());

  const auto files = LookAtJob(FolderOf(job_id));
  for (const pid_t pid : {files->parent->pid, files->parent->child_pid.value()}) {
    std::string variables = ReadText("/proc/" + std::to_string(pid) + "/environ");
    std::vector<std::string> all;
    for (size_t end = 0; (end = variables.find('\0')) != std::string::npos;) {
      all.push_back(variables.substr(0, end));
      variables.erase(0, end + 1);
    }
    EXPECT_THAT(all, UnorderedElementsAre("HF_TOKEN=" + secret, "HOME=/root",
                                          "PATH=/opt/models:/usr/bin:/bin",
                                          "TAO_EXECUTION_BACKEND=local-docker"));
  }
  EXPECT_EQ(ProcessesWith(secret), 0);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(state_dir_)) {
    if (entry.is_regular_file()) {
      EXPECT_THAT(ReadText(entry.path()), Not(HasSubstr(secret))) << entry.path();
    }
  }
}

TEST_F(LocalProcessTest, ATakenPortIsLeftForTheNext) {
  const Listener taken;
  Session session(taken.port);
  session.ports_.push_back(FreePort());
  launch::LaunchPlan plan = PlanOf(base::NewUuid(), "");
  plan.inner_command = launch::InnerCommand({"echo", "--port", "0"}, 2);
  const auto job = platform_->Launch(plan, session);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_NE(job->host_port, taken.port);
  EXPECT_THAT(LinesToTheEnd(plan.job_id), ElementsAre("--port " + std::to_string(job->host_port)));
}

TEST_F(LocalProcessTest, WithoutAPortFlagATakenPortIsAnErrorThatNamesItsHolder) {
  const Listener taken;
  Session session(taken.port);
  session.ports_.push_back(FreePort());
  const absl::Status status = platform_->Launch(PlanOf(base::NewUuid(), "true"), session).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(status), HasSubstr("always listens on port " + std::to_string(taken.port)));
  EXPECT_THAT(Message(status), HasSubstr("(pid " + std::to_string(getpid()) + ")"));
  EXPECT_THAT(session.calls, ElementsAre("save"));
}

TEST_F(LocalProcessTest, PreflightSaysWhatIsMissing) {
  const auto preflight = [this](const LocalProcessConfig& config, const launch::LaunchPlan& plan) {
    LocalProcessPlatform platform(config);
    return Preflight(platform, plan, absl::Seconds(5));
  };
  LocalProcessConfig config = ConfigIn(state_dir_);
  config.gpu_sources = {.nvidia_smi = state_dir_ + "/nvidia-smi",
                        .tegra_release = state_dir_ + "/t"};
  launch::LaunchPlan plan = PlanOf(base::NewUuid(), "cosmos-rl-test-program --job '{}'");
  const absl::Status absent = preflight(config, plan);
  EXPECT_EQ(absent.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(absent), HasSubstr("no \"cosmos-rl-test-program\" in PATH"));
  EXPECT_THAT(Message(absent), HasSubstr("--local-process-path"));

  config.path_prefix = state_dir_;
  const std::string program = state_dir_ + "/cosmos-rl-test-program";
  std::ofstream(program) << "#!/bin/sh\n";
  chmod(program.c_str(), 0755);
  EXPECT_TRUE(preflight(config, plan).ok());
  plan.gpus.mode = launch::GpuMode::kAuto;
  EXPECT_THAT(Message(preflight(config, plan)), HasSubstr("--gpu-mode none"));
  config.parent_program = state_dir_ + "/nowhere";
  EXPECT_THAT(Message(preflight(config, plan)), HasSubstr("tao-process-parent"));
}

TEST_F(LocalProcessTest, AFailedLaunchLeavesNothingAndCanBeTriedAgain) {
  LocalProcessConfig config = ConfigIn(state_dir_);
  config.parent_program = state_dir_ + "/broken";
  std::ofstream(config.parent_program) << "#!/bin/sh\necho out of luck >&2\nexit 5\n";
  chmod(config.parent_program.c_str(), 0755);
  const launch::LaunchPlan plan = PlanOf(base::NewUuid(), "sleep 1000");
  Session session;
  const absl::Status status = LocalProcessPlatform(config).Launch(plan, session).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), HasSubstr("out of luck (exit code 5"));
  EXPECT_EQ(StateOf(plan.job_id).state, State::kGone);

  Session journal;
  journal.end = absl::UnavailableError("disk full");
  EXPECT_EQ(platform_->Launch(plan, journal).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(StateOf(plan.job_id).state, State::kRunning);

  const launch::LaunchPlan another = PlanOf(base::NewUuid(), "sleep 1000");
  EXPECT_FALSE(LocalProcessPlatform(config).Launch(another, session).ok());
  ASSERT_TRUE(platform_->Launch(another, session).ok());
  EXPECT_EQ(StateOf(another.job_id).state, State::kRunning);
}

TEST_F(LocalProcessTest, NothingIsStartedAfterACancelOrAStop) {
  Session cancelled;
  cancelled.token.Cancel();
  const launch::LaunchPlan plan = PlanOf(base::NewUuid(), "sleep 1000");
  EXPECT_EQ(platform_->Launch(plan, cancelled).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(StateOf(plan.job_id).state, State::kGone);

  // The parent of a dead daemon is late: the stop came first.
  ASSERT_TRUE(Stop(plan.job_id).ok());
  const auto late = io::RunSubprocess(
      {.argv = {kParentProgram, "--folder", FolderOf(plan.job_id), "--job-id", plan.job_id,
                "--daemon-id", kDaemonId, "--port", "9", "--", "/bin/bash", "-c", "sleep 1000"}});
  ASSERT_TRUE(late.ok());
  EXPECT_EQ(late->exit_code, 4);
  EXPECT_EQ(StateOf(plan.job_id).state, State::kGone);
}

TEST_F(LocalProcessTest, AForeignFileIsNotTakenForAnAnswer) {
  const std::string job_id = base::NewUuid();
  ASSERT_TRUE(io::MakeFolder(FolderOf(job_id)).ok());
  std::ofstream(FolderOf(job_id) + "/parent.json") << "{\"pid\":1";
  EXPECT_EQ(platform_->Observe({.job_id = job_id}).status().code(), absl::StatusCode::kUnavailable);
  std::filesystem::remove_all(FolderOf(job_id));
}

TEST_F(LocalProcessTest, FindsTheJobsOfItsOwnDaemonPastABrokenFolder) {
  const std::string broken = base::NewUuid();
  ASSERT_TRUE(io::MakeFolder(FolderOf(broken)).ok());
  std::ofstream(FolderOf(broken) + "/parent.json") << "{\"pid\":1";
  const std::string running = Start("sleep 1000"), ended = Start("exit 3");
  LinesToTheEnd(ended);
  const auto found = platform_->FindOurs();
  ASSERT_TRUE(found.ok()) << found.status();
  std::map<std::string, State> states;
  for (const FoundJob& job : *found) states[job.job_id] = job.state.state;
  EXPECT_EQ(states,
            (std::map<std::string, State>{{running, State::kRunning}, {ended, State::kFailed}}));
  LocalProcessConfig other = ConfigIn(state_dir_);
  other.daemon_id = "22222222-2222-4222-8222-222222222222";
  EXPECT_THAT(*LocalProcessPlatform(other).FindOurs(), IsEmpty());
  std::filesystem::remove_all(FolderOf(broken));
}

TEST_F(LocalProcessTest, WhatWasStoppedIsNotFoundAgain) {
  const std::string running = Start("sleep 1000"), ended = Start("exit 3");
  LinesToTheEnd(ended);
  ASSERT_EQ(platform_->FindOurs()->size(), 2U);
  ASSERT_TRUE(Stop(running).ok());
  ASSERT_TRUE(Stop(ended).ok());
  EXPECT_THAT(*platform_->FindOurs(), IsEmpty());
  EXPECT_EQ(StateOf(ended).exit_code, 3);  // what is known of it stays
}

TEST_F(LocalProcessTest, NothingIsLeaked) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  ASSERT_TRUE(Stop(Start("sleep 1000")).ok());  // what is opened once is open now
  const auto before = descriptors();
  for (int i = 0; i < 5; ++i) {
    const std::string job_id = Start("echo up; sleep 1000");
    WaitForLine(job_id, "up");
    ASSERT_TRUE(platform_->FindOurs().ok());
    ASSERT_TRUE(Stop(job_id).ok());
    const Listener taken;
    Session session(taken.port);
    ASSERT_FALSE(platform_->Launch(PlanOf(base::NewUuid(), "true"), session).ok());
  }
  EXPECT_EQ(descriptors(), before);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // no child, ended or not
}

}  // namespace
}  // namespace tao::platforms
