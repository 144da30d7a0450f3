// Start, Stop, failure and recovery with a platform in memory, the real registry, journal, registry
// file, hub and leases. "Restarting the daemon" is making all of it anew over the same folders and
// platform.

#include "server/lifecycle/lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/readiness/hub.h"
#include "tests/component/server/registry/temporary_folder.h"
#include "tests/fakes/fake_platform.h"

namespace tao::lifecycle {
namespace {

using platforms::PlatformState;
using readiness::ProbeResult;
using registry::ServiceRecord;
using routing::Phase;

// As many exchanges in flight as a test wants, until they are cut.
class FakeExchanges : public routing::ExchangeCounter, public ExchangeCutter {
 public:
  explicit FakeExchanges(int in_flight) : in_flight_(in_flight) {}
  int InFlight(std::string_view) const override { return in_flight_; }
  void CutExchanges(std::string_view) override { in_flight_ = 0; }

 private:
  std::atomic<int> in_flight_;
};

// One daemon's life over folders and a platform that outlive it.
class Daemon {
 public:
  Daemon(const std::string& folder, fakes::FakePlatform& platform,
         const LifecycleConfig& config = {}, int exchanges_in_flight = 0,
         absl::Duration leftovers_limit = absl::ZeroDuration())
      : exchanges_(exchanges_in_flight) {
    parts_.config = config;
    state_ = *registry::StateDirectory::Open(folder + "/state");
    registry_ = *registry::Registry::Open(*state_);
    file_ = std::make_unique<registry::RegistryFileSync>(folder + "/registry.json", *registry_,
                                                         base::RealClock());
    leases_ = std::make_unique<Leases>(
        [this](const std::string& instance_id) { return file_->ForeignPorts(instance_id); });
    for (const auto& record : registry_->List()) leases_->Restore(*record);
    parts_.config.stop_retry = absl::Milliseconds(20);
    parts_.config.leftovers_limit = leftovers_limit;
    parts_.config.leftovers_interval = absl::Milliseconds(1);
    parts_.catalog = *catalog::Catalog::Load(TAO_SOURCE_DIR "/references");
    parts_.state = state_.get();
    parts_.registry = registry_.get();
    parts_.registry_file = file_.get();
    parts_.leases = leases_.get();
    parts_.platforms["fake"] = &platform;
    parts_.exchanges = &exchanges_;
    parts_.cutter = &exchanges_;
    parts_.clock = &base::RealClock();
    parts_.environment = [](const std::string&) { return std::nullopt; };
    lifecycle_ = std::make_unique<Lifecycle>(parts_);
    registry_->AddObserver(&hub_);
    registry_->AddObserver(file_.get());
    EXPECT_TRUE(file_->Start(*lifecycle_).ok());
    lifecycle_->Recover();
  }
  ~Daemon() {
    lifecycle_->Shutdown();
    file_->Stop();
    lifecycle_.reset();
  }

  Lifecycle& lifecycle() { return *lifecycle_; }
  registry::Registry& registry() { return *registry_; }

  // The state of `job_id` once it is in `phase` with no step left open; fails the test after 5 s.
  ServiceRecord WaitFor(const std::string& job_id, Phase phase) {
    base::Mutex mutex;
    base::CondVar news;
    const auto watcher = hub_.Watch(job_id, [&] {
      base::MutexLock lock(mutex);
      news.SignalAll();
    });
    const absl::Time deadline = absl::Now() + absl::Seconds(5);
    while (true) {
      const auto record = registry_->Find(job_id);
      if (record.has_value() && record->phase == phase &&
          record->journal.operation == registry::Operation::kNone) {
        return *record;
      }
      base::MutexLock lock(mutex);
      if (absl::Now() > deadline) {
        ADD_FAILURE() << job_id << " is " << routing::ToString(record->phase) << ", wanted "
                      << routing::ToString(phase) << ": " << record->message;
        return *record;
      }
      news.WaitWithTimeout(mutex, absl::Milliseconds(50));
    }
  }

 private:
  std::unique_ptr<registry::StateDirectory> state_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<registry::RegistryFileSync> file_;
  std::unique_ptr<Leases> leases_;
  readiness::Hub hub_;
  FakeExchanges exchanges_;
  Parts parts_;
  std::unique_ptr<Lifecycle> lifecycle_;
};

class LifecycleTest : public testing::Test {
 protected:
  static launch::LaunchRequest Request() {
    launch::LaunchRequest request;
    request.network_arch = "tao-dataservices";
    request.platform = "fake";
    request.model_path = "hf_model://nvidia/x";
    request.gpu_mode = launch::GpuMode::kNone;
    return request;
  }

  registry::TemporaryFolder folder_;
  fakes::FakePlatform platform_;
};

TEST_F(LifecycleTest, StartLaunchesConfirmsAndIsProbedToReady) {
  Daemon daemon(folder_.path(), platform_);
  const auto accepted = daemon.lifecycle().Start(Request());
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_EQ(accepted->host_port, 8080);
  const ServiceRecord running = daemon.WaitFor(accepted->job_id, Phase::kStarting);
  EXPECT_NE(running.started_at, absl::InfinitePast());
  EXPECT_TRUE(running.published);
  daemon.lifecycle().OnFinding(running.job_id,
                               PlatformState{.state = PlatformState::State::kRunning},
                               ProbeResult{.outcome = ProbeResult::Outcome::kReady});
  EXPECT_EQ(daemon.registry().Find(running.job_id)->phase, Phase::kReady);
}

TEST_F(LifecycleTest, StopRemovesTheJobAndFreesThePort) {
  Daemon daemon(folder_.path(), platform_);
  const std::string job_id = daemon.lifecycle().Start(Request())->job_id;
  daemon.WaitFor(job_id, Phase::kStarting);
  const auto draining = daemon.lifecycle().Stop(job_id, absl::ZeroDuration());
  ASSERT_TRUE(draining.ok());
  EXPECT_EQ(draining->phase, Phase::kDraining);
  daemon.WaitFor(job_id, Phase::kStopped);
  EXPECT_TRUE(platform_.jobs().empty());
  EXPECT_EQ(daemon.lifecycle().Start(Request())->host_port, 8080);
}

TEST_F(LifecycleTest, StopOfWhatIsGoneSucceedsAndAnEmptyJobIdDoesNot) {
  Daemon daemon(folder_.path(), platform_);
  const auto gone =
      daemon.lifecycle().Stop("0b0e0f3c-6f2c-4c0e-9a51-0d2f6f0a7b11", absl::ZeroDuration());
  ASSERT_TRUE(gone.ok());
  EXPECT_EQ(gone->phase, Phase::kStopped);
  EXPECT_EQ(daemon.lifecycle().Stop("", absl::ZeroDuration()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A Stop that names no limit cuts exchanges after the operator's.
TEST_F(LifecycleTest, StopWithoutALimitDrainsForTheOperators) {
  Daemon daemon(folder_.path(), platform_, {.drain_timeout = absl::Milliseconds(40)},
                /*exchanges_in_flight=*/1);
  const std::string job_id = daemon.lifecycle().Start(Request())->job_id;
  daemon.WaitFor(job_id, Phase::kStarting);
  ASSERT_TRUE(daemon.lifecycle().Stop(job_id, std::nullopt).ok());
  daemon.WaitFor(job_id, Phase::kStopped);
}

TEST_F(LifecycleTest, StopDuringLaunchCancelsIt) {
  Daemon daemon(folder_.path(), platform_);
  platform_.HoldLaunches();
  const std::string job_id = daemon.lifecycle().Start(Request())->job_id;
  ASSERT_TRUE(platform_.WaitForHeldLaunches(1));
  ASSERT_TRUE(daemon.lifecycle().Stop(job_id, absl::ZeroDuration()).ok());
  daemon.WaitFor(job_id, Phase::kStopped);
  EXPECT_TRUE(platform_.jobs().empty());
}

TEST_F(LifecycleTest, FailedLaunchIsFailedWithItsReasonAndFreesThePort) {
  platform_.SetScript({.launch = absl::NotFoundError("no image acme:1")});
  Daemon daemon(folder_.path(), platform_);
  const std::string job_id = daemon.lifecycle().Start(Request())->job_id;
  const ServiceRecord failed = daemon.WaitFor(job_id, Phase::kFailed);
  EXPECT_EQ(failed.reason, "image_not_found");
  EXPECT_THAT(failed.message, testing::HasSubstr("no image acme:1"));
  EXPECT_EQ(failed.host_port, 0);
}

TEST_F(LifecycleTest, ModelThatFailsToLoadIsCleanedUpWithItsLastLogLines) {
  Daemon daemon(folder_.path(), platform_);
  const std::string job_id = daemon.lifecycle().Start(Request())->job_id;
  daemon.WaitFor(job_id, Phase::kStarting);
  platform_.AppendLog(job_id, "out of memory");
  daemon.lifecycle().OnFinding(
      job_id, std::nullopt,
      ProbeResult{.outcome = ProbeResult::Outcome::kFailed, .reason = "model_load_failed"});
  const ServiceRecord failed = daemon.WaitFor(job_id, Phase::kFailed);
  EXPECT_THAT(failed.last_log_lines, testing::Contains("out of memory"));
  EXPECT_TRUE(platform_.jobs().empty());
}

TEST_F(LifecycleTest, IdleShutdownEndsInStopped) {
  Daemon daemon(folder_.path(), platform_);
  const std::string job_id = daemon.lifecycle().Start(Request())->job_id;
  daemon.WaitFor(job_id, Phase::kStarting);
  daemon.lifecycle().OnFinding(job_id, std::nullopt,
                               ProbeResult{.outcome = ProbeResult::Outcome::kReady});
  daemon.lifecycle().OnFinding(
      job_id, PlatformState{.state = PlatformState::State::kExited, .exit_code = 0}, std::nullopt);
  EXPECT_EQ(daemon.WaitFor(job_id, Phase::kStopped).reason, "idle_shutdown");
}

TEST_F(LifecycleTest, AnAddressThatChangesIsFollowedAndOutlivesTheDaemon) {
  PlatformState moved = {.state = PlatformState::State::kRunning};
  moved.moved = {{"fake_url", "https://new.test"}};
  const ProbeResult none = {.outcome = ProbeResult::Outcome::kNoAnswer};
  std::string job_id;
  {
    Daemon daemon(folder_.path(), platform_);
    job_id = daemon.lifecycle().Start(Request())->job_id;
    daemon.WaitFor(job_id, Phase::kStarting);
    daemon.lifecycle().OnFinding(job_id, std::nullopt,
                                 ProbeResult{.outcome = ProbeResult::Outcome::kReady});
    daemon.lifecycle().OnFinding(job_id, moved, none);
    const auto now = daemon.registry().Find(job_id);
    EXPECT_EQ(now->host_url, "https://new.test");
    EXPECT_EQ(now->phase, Phase::kReady) << "the old address's silence says nothing";
    const uint64_t revision = now->revision;
    daemon.lifecycle().OnFinding(job_id, moved, none);
    EXPECT_EQ(daemon.registry().Find(job_id)->revision, revision) << "told again it is no news";
  }
  Daemon daemon(folder_.path(), platform_);
  const auto adopted = daemon.registry().Find(job_id);
  EXPECT_EQ(adopted->host_url, "https://new.test");
  EXPECT_EQ(adopted->driver_state.at("fake_url"), "https://new.test");
  EXPECT_EQ(adopted->driver_state.at("fake_name"), job_id) << "the rest stays";
}

TEST_F(LifecycleTest, AnAddressOfWhatIsBeingStoppedIsNotFollowed) {
  Daemon daemon(folder_.path(), platform_);
  const std::string job_id = daemon.lifecycle().Start(Request())->job_id;
  daemon.WaitFor(job_id, Phase::kStarting);
  ASSERT_TRUE(daemon.lifecycle().Stop(job_id, absl::ZeroDuration()).ok());
  PlatformState moved = {.state = PlatformState::State::kRunning};
  moved.moved = {{"fake_url", "https://new.test"}};
  daemon.lifecycle().OnFinding(job_id, moved, std::nullopt);
  EXPECT_FALSE(daemon.WaitFor(job_id, Phase::kStopped).driver_state.contains("fake_url"));
}

TEST_F(LifecycleTest, RequestIdGivesTheSameServiceOrSaysThatItMeantAnother) {
  Daemon daemon(folder_.path(), platform_);
  launch::LaunchRequest request = Request();
  request.request_id = "once";
  const auto first = daemon.lifecycle().Start(request);
  const auto again = daemon.lifecycle().Start(request);
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->job_id, again->job_id);
  request.model_path = "hf_model://nvidia/y";
  EXPECT_EQ(daemon.lifecycle().Start(request).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(LifecycleTest, ThirtyTwoStartsAtOnceGetDifferentPorts) {
  Daemon daemon(folder_.path(), platform_);
  base::Mutex mutex;
  std::set<int> ports;
  std::vector<std::thread> threads;
  for (int i = 0; i < 32; ++i) {
    threads.emplace_back([&] {
      const auto started = daemon.lifecycle().Start(Request());
      base::MutexLock lock(mutex);
      if (started.ok()) ports.insert(started->host_port);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ports.size(), 32u);
}

TEST_F(LifecycleTest, ARestartAdoptsWhatRunsAndGoesOnWithAStart) {
  std::string running, launching;
  {
    Daemon daemon(folder_.path(), platform_);
    running = daemon.lifecycle().Start(Request())->job_id;
    daemon.WaitFor(running, Phase::kStarting);
    platform_.HoldLaunches();
    launching = daemon.lifecycle().Start(Request())->job_id;
    ASSERT_TRUE(platform_.WaitForHeldLaunches(1));
  }
  platform_.ReleaseLaunches();
  Daemon daemon(folder_.path(), platform_);
  EXPECT_EQ(daemon.registry().Find(running)->phase, Phase::kStarting);
  EXPECT_EQ(daemon.WaitFor(launching, Phase::kStarting).host_port, 8081);
}

// The platform comes up beside the daemon, as after a reboot.
TEST_F(LifecycleTest, AnInterruptedStartWaitsForAPlatformThatCannotBeAsked) {
  std::string job_id;
  {
    Daemon daemon(folder_.path(), platform_);
    platform_.HoldLaunches();
    job_id = daemon.lifecycle().Start(Request())->job_id;
    ASSERT_TRUE(platform_.WaitForHeldLaunches(1));
  }
  platform_.ReleaseLaunches();
  platform_.SetScript({.launch = absl::UnavailableError("the engine is not up yet")});
  const int before = platform_.launch_calls();
  Daemon daemon(folder_.path(), platform_, {}, 0, /*leftovers_limit=*/absl::Minutes(1));
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  while (platform_.launch_calls() < before + 2 && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(daemon.registry().Find(job_id)->phase, Phase::kLaunching);
  EXPECT_THAT(daemon.registry().Find(job_id)->message, testing::HasSubstr("not up yet"));
  platform_.SetScript({});
  daemon.WaitFor(job_id, Phase::kStarting);
}

TEST_F(LifecycleTest, ARestartRemovesAJobThatNoRecordKnows) {
  platform_.PutJob("0b0e0f3c-6f2c-4c0e-9a51-0d2f6f0a7b11", {});
  {
    Daemon daemon(folder_.path(), platform_);
    const absl::Time deadline = absl::Now() + absl::Seconds(5);
    while (!platform_.jobs().empty() && absl::Now() < deadline) std::this_thread::yield();
  }
  EXPECT_TRUE(platform_.jobs().empty());
}

// A record that is broken says nothing of its service: it may be in use, and is left alone.
TEST_F(LifecycleTest, ARestartLeavesAJobAloneWhoseRecordIsBroken) {
  std::string job_id;
  const std::string stray = "0b0e0f3c-6f2c-4c0e-9a51-0d2f6f0a7b11";
  {
    Daemon daemon(folder_.path(), platform_);
    job_id = daemon.lifecycle().Start(Request())->job_id;
    daemon.WaitFor(job_id, Phase::kStarting);
  }
  const std::string record = folder_.path() + "/state/services/" + job_id + ".json";
  ASSERT_EQ(truncate(record.c_str(), 100), 0);
  for (int restarts = 0; restarts < 2; ++restarts) {
    platform_.PutJob(stray, {});  // the same search finds it, and removes it
    {
      Daemon daemon(folder_.path(), platform_);
      const absl::Time deadline = absl::Now() + absl::Seconds(5);
      while (platform_.jobs().contains(stray) && absl::Now() < deadline) std::this_thread::yield();
      // The registry file still has its entry: it is served, and can be stopped.
      const auto listed = daemon.registry().Find(job_id);
      ASSERT_TRUE(listed.has_value());
      EXPECT_TRUE(listed->foreign);
    }  // when all that it found was looked at
    EXPECT_FALSE(platform_.jobs().contains(stray));
    EXPECT_TRUE(platform_.jobs().contains(job_id));
  }
  ASSERT_EQ(unlink((folder_.path() + "/registry.json").c_str()), 0);
  Daemon daemon(folder_.path(), platform_);
  const auto refused = daemon.lifecycle().Stop(job_id, absl::ZeroDuration());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              testing::HasSubstr(record + ".broken, take "));
}

TEST_F(LifecycleTest, UnknownPlatformNamesThoseThereAre) {
  Daemon daemon(folder_.path(), platform_);
  launch::LaunchRequest request = Request();
  request.platform = "moon";
  const auto refused = daemon.lifecycle().Start(request);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), testing::HasSubstr("choose one of: fake"));
}

}  // namespace
}  // namespace tao::lifecycle
