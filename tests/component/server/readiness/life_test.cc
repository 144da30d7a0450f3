// Registry, prober, phase machine and hub together, as main wires them: a watcher sees the life of
// a service whose container and platform are fakes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/readiness/hub.h"
#include "server/readiness/phase_machine.h"
#include "server/readiness/prober.h"
#include "server/registry/registry.h"
#include "tests/component/server/registry/temporary_folder.h"
#include "tests/fakes/fake_http_client.h"

namespace tao::readiness {
namespace {

using platforms::PlatformState;
using routing::Phase;

constexpr absl::Duration kLimit = absl::Seconds(5);
constexpr std::string_view kJobId = "0b0e0f3c-6f2c-4c0e-9a51-0d2f6f0a7b11";

// What lifecycle does with a finding.
class Applier : public ProbeListener {
 public:
  explicit Applier(registry::Registry& registry) : registry_(registry) {}
  void OnFinding(std::string_view job_id, std::optional<PlatformState> platform,
                 std::optional<ProbeResult> probe) override {
    const absl::Time now = absl::Now();
    const auto updated = registry_.Update(job_id, [&](registry::ServiceRecord& record) {
      const PhaseDecision decision = DecidePhase(
          {.record = &record, .platform = platform, .probe = std::move(probe), .now = now});
      Apply(decision, now, record);
      return decision.changed;
    });
    EXPECT_TRUE(updated.ok());
  }

 private:
  registry::Registry& registry_;
};

class LifeTest : public testing::Test {
 protected:
  LifeTest()
      : state_(*registry::StateDirectory::Open(folder_.path())),
        registry_(*registry::Registry::Open(*state_)) {}

  std::unique_ptr<Prober> NewProber(const ProberConfig& config) {
    return std::make_unique<Prober>(
        config, http_, pool_, base::RealClock(),
        [this](const registry::ServiceRecord&) -> absl::StatusOr<PlatformState> {
          return PlatformState{.state = platform_};
        },
        [](const registry::ServiceRecord& record) {
          return routing::Backend{.host = "127.0.0.1", .port = record.host_port};
        },
        applier_);
  }

  void InsertStarting() {
    registry::ServiceRecord record;
    record.job_id = std::string(kJobId);
    record.host_port = 8081;
    record.phase = Phase::kStarting;
    record.started_at = record.phase_since = record.progress_since = absl::Now();
    record.progress_timeout = absl::Seconds(600);
    record.startup_timeout = absl::Hours(2);
    record.journal = {.operation = registry::Operation::kStart, .step = registry::Step::kAccept};
    ASSERT_TRUE(registry_->Insert(record).ok());
  }

  // The next state that the watcher is told in which the phase is another one.
  registry::ServiceRecord NextPhase(Phase from) {
    const absl::Time deadline = absl::Now() + kLimit;
    base::MutexLock lock(mutex_);
    while (true) {
      if (const auto record = watcher_->Take(); record.has_value() && record->phase != from) {
        return *record;
      }
      if (changed_.WaitWithTimeout(mutex_, deadline - absl::Now())) {
        ADD_FAILURE() << "still " << routing::ToString(from) << " after " << kLimit;
        return {};
      }
    }
  }

  void Watch() {
    watcher_ = hub_.Watch(kJobId, [this] {
      const base::MutexLock lock(mutex_);
      changed_.SignalAll();
    });
    ASSERT_NE(watcher_, nullptr);
  }

  registry::TemporaryFolder folder_;
  std::unique_ptr<registry::StateDirectory> state_;
  std::unique_ptr<registry::Registry> registry_;
  Applier applier_{*registry_};
  base::WorkPool pool_{2, 100};
  fakes::FakeHttpClient http_;
  std::atomic<PlatformState::State> platform_ = PlatformState::State::kRunning;
  Hub hub_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::unique_ptr<Subscription> watcher_;
};

const char kReadiness[] = "http://127.0.0.1:8081/api/v1/health/readiness";

TEST_F(LifeTest, AWatcherSeesAServiceFromItsStartToItsIdleShutdown) {
  const ProberConfig quick{.first_interval = absl::Milliseconds(2),
                           .longest_interval = absl::Milliseconds(5),
                           .ready_interval = absl::Milliseconds(5),
                           .shortest_interval = absl::Milliseconds(1)};
  const auto prober = NewProber(quick);
  registry_->AddObserver(&hub_);
  registry_->AddObserver(prober.get());
  InsertStarting();
  Watch();

  http_.SetAnswer(kReadiness, 503, R"({"reason":"server_initializing"})");
  EXPECT_EQ(NextPhase(Phase::kStarting).phase, Phase::kInitializing);
  http_.SetAnswer(kReadiness, 202, R"({"error":{"type":"model_loading","message":"shard 1"}})");
  const registry::ServiceRecord loading = NextPhase(Phase::kInitializing);
  EXPECT_EQ(loading.phase, Phase::kLoading);
  EXPECT_EQ(loading.message, "shard 1");
  http_.SetAnswer(kReadiness, 200);
  const registry::ServiceRecord ready = NextPhase(Phase::kLoading);
  EXPECT_EQ(ready.phase, Phase::kReady);
  EXPECT_LT(ready.ready_at, absl::InfiniteFuture());
  http_.SetError(kReadiness, absl::StatusCode::kUnavailable);
  EXPECT_EQ(NextPhase(Phase::kReady).phase, Phase::kUnreachable);
  http_.SetAnswer(kReadiness, 200);
  EXPECT_EQ(NextPhase(Phase::kUnreachable).phase, Phase::kReady);
  platform_ = PlatformState::State::kExited;
  const registry::ServiceRecord stopped = NextPhase(Phase::kReady);
  EXPECT_EQ(stopped.phase, Phase::kStopped);
  EXPECT_EQ(stopped.reason, "idle_shutdown");
  EXPECT_EQ(hub_.Watch(kJobId, [] {}), nullptr);
}

// Every finding changes the record, and every change is told to the prober: that alone must never
// cause a probe, or a service would be asked without a pause.
TEST_F(LifeTest, AFindingCausesNoProbe) {
  const ProberConfig once{.first_interval = absl::Hours(1),
                          .longest_interval = absl::Hours(1),
                          .ready_interval = absl::Hours(1),
                          .shortest_interval = absl::ZeroDuration()};
  const auto prober = NewProber(once);
  registry_->AddObserver(&hub_);
  registry_->AddObserver(prober.get());
  http_.SetAnswer(kReadiness, 503, R"({"reason":"model_loading","message":"shard 1"})");
  InsertStarting();
  Watch();
  EXPECT_EQ(NextPhase(Phase::kStarting).phase, Phase::kLoading);
  // The next probe is the one that is asked for here, and it finds READY; readiness and liveness
  // each.
  http_.SetAnswer(kReadiness, 200);
  prober->OnExchangeFailed(kJobId);
  EXPECT_EQ(NextPhase(Phase::kLoading).phase, Phase::kReady);
  http_.SetError(kReadiness, absl::StatusCode::kUnavailable);
  prober->OnExchangeFailed(kJobId);
  EXPECT_EQ(NextPhase(Phase::kReady).phase, Phase::kUnreachable);
  EXPECT_EQ(http_.requests().size(), 5u);
}

}  // namespace
}  // namespace tao::readiness
