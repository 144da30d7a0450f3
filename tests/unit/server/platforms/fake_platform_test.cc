#include "tests/fakes/fake_platform.h"

#include <gmock/gmock.h>

#include <thread>

namespace tao::fakes {
namespace {

using platforms::PlatformState;
using registry::Step;
using testing::ElementsAre;

// Keeps what a driver asks of its session, in order.
class Session : public platforms::LaunchSession, public platforms::StopSession {
 public:
  absl::Status BeginStep(Step step) override {
    calls.push_back("begin " + std::to_string(static_cast<int>(step)));
    return begin;
  }
  absl::Status EndStep(Step step) override {
    calls.push_back("end " + std::to_string(static_cast<int>(step)));
    return absl::OkStatus();
  }
  absl::Status SaveDriverState(const std::map<std::string, std::string>&) override {
    calls.push_back("save");
    return absl::OkStatus();
  }
  void ReportProgress(const registry::Progress& progress) override {
    calls.push_back(progress.message);
  }
  int host_port() const override { return port; }
  void ReportPending(std::string_view, std::string_view) override {}
  absl::StatusOr<int> InstancePort(const std::string&, bool) override {
    return absl::InternalError("not an instance");
  }
  absl::StatusOr<int> NextPort() override { return ++port; }
  const std::vector<std::string>& gpu_ids() const override { return gpus; }
  const base::CancelToken& cancel() const override { return token; }

  std::vector<std::string> calls;
  absl::Status begin = absl::OkStatus();
  int port = 8080;
  std::vector<std::string> gpus;
  base::CancelToken token;
};

class Lines : public platforms::LogSink {
 public:
  bool OnLine(std::string_view line) override {
    lines.emplace_back(line);
    return true;
  }
  std::vector<std::string> lines;
};

const std::string kRun = std::to_string(static_cast<int>(Step::kRunContainer));

TEST(FakePlatformTest, LaunchesOnceAndKeepsTheJob) {
  FakePlatform platform;
  platform.SetScript(
      {.progress = {{.stage = "pulling_image", .message = "1/2"}}, .taken_ports = {8080, 8081}});
  Session session;
  const launch::LaunchPlan plan{.job_id = "job-1"};
  const auto job = platform.Launch(plan, session);
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->host_port, 8082);
  EXPECT_THAT(session.calls, ElementsAre("save", "begin " + kRun, "1/2", "end " + kRun));
  EXPECT_EQ(platform.EndpointOf(*job).host_url, "http://localhost:8082");

  Session again;
  EXPECT_EQ(platform.Launch(plan, again)->host_port, 8082);
  EXPECT_THAT(again.calls, ElementsAre());
  EXPECT_EQ(platform.Observe(*job)->state, PlatformState::State::kRunning);
  EXPECT_EQ(platform.FindOurs()->size(), 1U);
}

TEST(FakePlatformTest, AHeldLaunchEndsByReleaseOrCancel) {
  for (const bool cancelled : {false, true}) {
    FakePlatform platform;
    platform.HoldLaunches();
    Session session;
    bool launched = false;
    std::thread thread([&] { launched = platform.Launch({.job_id = "job-1"}, session).ok(); });
    EXPECT_TRUE(platform.WaitForHeldLaunches(1));
    if (cancelled) {
      session.token.Cancel();
    } else {
      platform.ReleaseLaunches();
    }
    thread.join();
    EXPECT_EQ(launched, !cancelled);
    EXPECT_EQ(platform.jobs().size(), cancelled ? 0U : 1U);
  }
}

TEST(FakePlatformTest, AnErrorLeavesNothing) {
  FakePlatform platform;
  platform.SetScript({.launch = absl::UnavailableError("broken")});
  Session session;
  EXPECT_FALSE(platform.Launch({.job_id = "job-1"}, session).ok());
  EXPECT_TRUE(platform.jobs().empty());
}

TEST(FakePlatformTest, LogsFollowUntilTheJobEnds) {
  FakePlatform platform;
  platform.PutJob("job-1", {.log = {"a", "b", "c"}});
  Lines lines;
  base::CancelToken cancel;
  std::thread thread([&] {
    EXPECT_TRUE(
        platform.StreamLogs({.job_id = "job-1"}, {.tail_lines = 2, .follow = true}, lines, cancel)
            .ok());
  });
  platform.AppendLog("job-1", "d");
  platform.SetState("job-1", {.state = PlatformState::State::kExited});
  thread.join();
  EXPECT_EQ(lines.lines.back(), "d");
  EXPECT_LE(lines.lines.size(), 3U);
}

TEST(FakePlatformTest, StopRemovesTheJobAndAbsenceIsGone) {
  FakePlatform platform;
  platform.PutJob("job-1", {});
  Session session;
  EXPECT_TRUE(platform.Stop({.job_id = "job-1"}, {.grace_period = absl::Seconds(3)}, session).ok());
  EXPECT_TRUE(platform.Stop({.job_id = "job-1"}, {}, session).ok());
  EXPECT_EQ(platform.stop_calls()[0].second, absl::Seconds(3));
  EXPECT_EQ(platform.Observe({.job_id = "job-1"})->state, PlatformState::State::kGone);
}

}  // namespace
}  // namespace tao::fakes
