#include "server/readiness/prober.h"

#include <absl/strings/str_format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <thread>

#include "tests/fakes/fake_http_client.h"

namespace tao::readiness {
namespace {

using routing::Phase;
using Outcome = ProbeResult::Outcome;
using State = platforms::PlatformState::State;

constexpr absl::Duration kLimit = absl::Seconds(5);
constexpr absl::Duration kNever = absl::Hours(1);

struct Finding {
  std::string job_id;
  std::optional<platforms::PlatformState> platform;
  std::optional<ProbeResult> probe;
};

// Keeps what it is told; a job can be held inside its call.
class FakeListener : public ProbeListener {
 public:
  void OnFinding(std::string_view job_id, std::optional<platforms::PlatformState> platform,
                 std::optional<ProbeResult> probe) override {
    base::MutexLock lock(mutex_);
    const std::string id(job_id);
    if (++inside_[id] > 1) overlapped_ = true;
    findings_.push_back({id, std::move(platform), std::move(probe)});
    changed_.SignalAll();
    while (held_ == id) changed_.Wait(mutex_);
    --inside_[id];
  }

  void Hold(const std::string& job_id) { SetHeld(job_id); }
  void Release() { SetHeld(""); }

  // All findings, once `enough` says so of them; fails after the limit.
  std::vector<Finding> WaitFor(
      const std::function<bool(const std::vector<Finding>&)>& enough) const {
    const absl::Time deadline = absl::Now() + kLimit;
    base::MutexLock lock(mutex_);
    while (!enough(findings_)) {
      if (changed_.WaitWithTimeout(mutex_, deadline - absl::Now())) {
        ADD_FAILURE() << "after " << kLimit << " there are " << findings_.size() << " findings";
        break;
      }
    }
    return findings_;
  }
  std::vector<Finding> WaitForCount(size_t count) const {
    return WaitFor([&](const std::vector<Finding>& all) { return all.size() >= count; });
  }
  std::vector<Finding> findings() const {
    base::MutexLock lock(mutex_);
    return findings_;
  }
  bool overlapped() const {
    base::MutexLock lock(mutex_);
    return overlapped_;
  }
  int inside(const std::string& job_id) {
    base::MutexLock lock(mutex_);
    return inside_[job_id];
  }

 private:
  void SetHeld(const std::string& job_id) {
    base::MutexLock lock(mutex_);
    held_ = job_id;
    changed_.SignalAll();
  }

  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  std::vector<Finding> findings_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> inside_ ABSL_GUARDED_BY(mutex_);
  bool overlapped_ ABSL_GUARDED_BY(mutex_) = false;
  std::string held_ ABSL_GUARDED_BY(mutex_);
};

// What the platforms say: running, unless set otherwise.
class FakePlatforms {
 public:
  absl::StatusOr<platforms::PlatformState> Observe(const registry::ServiceRecord& record) {
    base::MutexLock lock(mutex_);
    ++asked_[record.job_id];
    // Without a message: ThreadSanitizer cannot follow one between threads.
    if (unavailable_) return absl::Status(absl::StatusCode::kUnavailable, "");
    return platforms::PlatformState{.state = state_};
  }
  void Say(State state) {
    base::MutexLock lock(mutex_);
    state_ = state;
  }
  void SetUnavailable() {
    base::MutexLock lock(mutex_);
    unavailable_ = true;
  }
  int asked(const std::string& job_id) {
    base::MutexLock lock(mutex_);
    return asked_[job_id];
  }

 private:
  base::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kRunning;
  bool unavailable_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, int> asked_ ABSL_GUARDED_BY(mutex_);
};

// How many requests are in flight at most.
class CountingClient : public io::HttpClient {
 public:
  explicit CountingClient(io::HttpClient& next) : next_(next) {}
  void Fetch(io::HttpRequest request, Done done) override {
    const int now = ++in_flight_;
    int most = most_;
    while (now > most && !most_.compare_exchange_weak(most, now)) {
    }
    next_.Fetch(std::move(request),
                [this, done = std::move(done)](absl::StatusOr<io::HttpResponse> response) mutable {
                  --in_flight_;
                  done(std::move(response));
                });
  }
  int most() const { return most_; }

 private:
  io::HttpClient& next_;
  std::atomic<int> in_flight_ = 0, most_ = 0;
};

registry::ServiceRecord RecordIn(Phase phase, std::string job_id = "job-1", int port = 8081) {
  registry::ServiceRecord record;
  record.job_id = std::move(job_id);
  record.phase = phase;
  record.host_port = port;
  return record;
}

std::string ReadinessUrl(int port = 8081) {
  return absl::StrFormat("http://127.0.0.1:%d/api/v1/health/readiness", port);
}
std::string LivenessUrl(int port = 8081) {
  return absl::StrFormat("http://127.0.0.1:%d/api/v1/health/liveness", port);
}

routing::Backend BackendOf(const registry::ServiceRecord& record) {
  return {.host = "127.0.0.1", .port = record.host_port};
}

// Once, at once: what comes after it is what the test caused.
ProberConfig OnceConfig() {
  return {.first_interval = kNever, .longest_interval = kNever, .ready_interval = kNever};
}
ProberConfig QuickConfig() {
  return {.first_interval = absl::Milliseconds(1),
          .longest_interval = absl::Milliseconds(5),
          .ready_interval = absl::Milliseconds(5),
          .shortest_interval = absl::Milliseconds(1)};
}

class ProberTest : public testing::Test {
 protected:
  std::unique_ptr<Prober> NewProber(const ProberConfig& config) {
    return std::make_unique<Prober>(
        config, client_, pool_, base::RealClock(),
        [this](const registry::ServiceRecord& record) { return platforms_.Observe(record); },
        backend_of_, listener_);
  }

  FakeListener listener_;
  FakePlatforms platforms_;
  base::WorkPool pool_{3, 100};
  fakes::FakeHttpClient http_;
  CountingClient client_{http_};
  Prober::BackendOf backend_of_ = BackendOf;
};

TEST_F(ProberTest, TellsWhatContainerAndPlatformSay) {
  http_.SetAnswer(ReadinessUrl(), 200, "{}");
  http_.SetAnswer(LivenessUrl(), 200,
                  R"({"job_id":"job-1","progress":{"stage":"ready","message":"m"}})");
  const auto prober = NewProber(OnceConfig());
  prober->OnChange(RecordIn(Phase::kStarting));
  const Finding finding = listener_.WaitForCount(1).at(0);
  EXPECT_EQ(finding.job_id, "job-1");
  ASSERT_TRUE(finding.probe.has_value());
  EXPECT_EQ(finding.probe->outcome, Outcome::kReady);
  EXPECT_EQ(finding.probe->job_id, "job-1");
  EXPECT_EQ(finding.probe->progress, (registry::Progress{.stage = "ready", .message = "m"}));
  ASSERT_TRUE(finding.platform.has_value());
  EXPECT_EQ(finding.platform->state, State::kRunning);
}

TEST_F(ProberTest, GoesOnUntilTheContainerIsReady) {
  http_.SetAnswer(ReadinessUrl(), 503, R"({"reason":"model_loading"})");
  const auto prober = NewProber(QuickConfig());
  prober->OnChange(RecordIn(Phase::kStarting));
  listener_.WaitForCount(5);
  http_.SetAnswer(ReadinessUrl(), 200);
  listener_.WaitFor([](const std::vector<Finding>& all) {
    return !all.empty() && all.back().probe->outcome == Outcome::kReady;
  });
}

TEST_F(ProberTest, NoAnswerAsksNoLivenessButThePlatform) {
  http_.SetError(ReadinessUrl(), absl::StatusCode::kDeadlineExceeded);
  platforms_.Say(State::kExited);
  const auto prober = NewProber(OnceConfig());
  prober->OnChange(RecordIn(Phase::kReady));
  const Finding finding = listener_.WaitForCount(1).at(0);
  EXPECT_EQ(finding.probe->outcome, Outcome::kNoAnswer);
  EXPECT_EQ(finding.platform->state, State::kExited);
  EXPECT_EQ(http_.requests().size(), 1u);
}

TEST_F(ProberTest, AnErrorOfThePlatformSaysNothing) {
  platforms_.SetUnavailable();
  const auto prober = NewProber(OnceConfig());
  prober->OnChange(RecordIn(Phase::kLoading));
  const Finding finding = listener_.WaitForCount(1).at(0);
  EXPECT_FALSE(finding.platform.has_value());
  EXPECT_EQ(finding.probe->outcome, Outcome::kNoAnswer);
  EXPECT_EQ(platforms_.asked("job-1"), 1);
}

TEST_F(ProberTest, AForeignServiceHasNoPlatform) {
  const auto prober = NewProber(QuickConfig());
  registry::ServiceRecord foreign = RecordIn(Phase::kStarting);
  foreign.foreign = true;
  prober->OnChange(foreign);
  for (const Finding& finding : listener_.WaitForCount(3)) {
    EXPECT_FALSE(finding.platform.has_value());
    EXPECT_EQ(finding.probe->outcome, Outcome::kNoAnswer);
  }
  EXPECT_EQ(platforms_.asked("job-1"), 0);
}

TEST_F(ProberTest, WithoutAnEndpointOnlyThePlatformIsAsked) {
  const auto prober = NewProber(QuickConfig());
  registry::ServiceRecord foreign = RecordIn(Phase::kStarting, "foreign", 0);
  foreign.foreign = true;
  prober->OnChange(foreign);  // nothing can be asked, so nothing is told
  prober->OnChange(RecordIn(Phase::kStarting, "job-1", 0));
  for (const Finding& finding : listener_.WaitForCount(3)) {
    EXPECT_EQ(finding.job_id, "job-1");
    EXPECT_FALSE(finding.probe.has_value());
    EXPECT_TRUE(finding.platform.has_value());
  }
  EXPECT_TRUE(http_.requests().empty());
}

TEST_F(ProberTest, AsksTheBackendAsItIs) {
  backend_of_ = [](const registry::ServiceRecord&) {
    return routing::Backend{.scheme = "https",
                            .host = "::1",
                            .port = 443,
                            .base_path = "/base",
                            .authority = "job.example",
                            .credential = base::Secret("Bearer prober-test-token")};
  };
  http_.SetAnswer("https://job.example/base/api/v1/health/readiness", 503);
  const auto prober = NewProber(OnceConfig());
  prober->OnChange(RecordIn(Phase::kStarting));
  listener_.WaitForCount(1);
  const std::vector<io::HttpRequest> requests = http_.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[1].url, "https://job.example/base/api/v1/health/liveness");
  EXPECT_EQ(requests[1].connect_to, "[::1]:443");
  EXPECT_LE(requests[0].timeout, absl::Seconds(5));
  EXPECT_LE(requests[1].timeout, requests[0].timeout) << "5 s for both together";
  EXPECT_GT(requests[1].timeout, absl::ZeroDuration());
  for (const io::HttpRequest& request : requests) {
    EXPECT_EQ(request.method, "GET");
    EXPECT_THAT(request.headers,
                testing::ElementsAre(testing::Pair("Authorization", "Bearer prober-test-token")));
  }
}

TEST_F(ProberTest, AFailedExchangeProbesAtOnce) {
  http_.SetAnswer(ReadinessUrl(), 200);
  const auto prober = NewProber(OnceConfig());
  prober->OnChange(RecordIn(Phase::kReady));
  listener_.WaitForCount(1);
  EXPECT_EQ(platforms_.asked("job-1"), 1);

  prober->OnExchangeFailed("job-1");
  prober->OnExchangeFailed("job-9");  // unknown: nothing to do
  const std::vector<Finding> findings = listener_.WaitForCount(2);
  EXPECT_EQ(findings.at(1).probe->outcome, Outcome::kReady);
  EXPECT_EQ(platforms_.asked("job-1"), 1) << "it answers, so its platform need not be asked";

  http_.SetError(ReadinessUrl(), absl::StatusCode::kUnavailable);
  prober->OnExchangeFailed("job-1");
  EXPECT_EQ(listener_.WaitForCount(3).at(2).probe->outcome, Outcome::kNoAnswer);
  EXPECT_EQ(platforms_.asked("job-1"), 2);
}

TEST_F(ProberTest, ANewEndpointIsProbedAtOnce) {
  http_.SetAnswer(ReadinessUrl(8082), 200);
  const auto prober = NewProber(OnceConfig());
  prober->OnChange(RecordIn(Phase::kStarting, "job-1", 8081));
  EXPECT_EQ(listener_.WaitForCount(1).at(0).probe->outcome, Outcome::kNoAnswer);
  prober->OnChange(RecordIn(Phase::kStarting, "job-1", 8082));
  EXPECT_EQ(listener_.WaitForCount(2).at(1).probe->outcome, Outcome::kReady);
}

TEST_F(ProberTest, OneFindingOfAJobAtATime) {
  const auto prober = NewProber(QuickConfig());
  listener_.Hold("job-1");
  prober->OnChange(RecordIn(Phase::kLoading, "job-1"));
  listener_.WaitForCount(1);
  // Whatever happens, job-1 waits for its finding, and the others do not wait for job-1.
  prober->OnChange(RecordIn(Phase::kReady, "job-1", 8083));
  prober->OnExchangeFailed("job-1");
  prober->OnChange(RecordIn(Phase::kLoading, "job-2"));
  const auto count = [](const std::vector<Finding>& all, const std::string& job_id) {
    return std::count_if(all.begin(), all.end(),
                         [&](const Finding& finding) { return finding.job_id == job_id; });
  };
  const std::vector<Finding> during =
      listener_.WaitFor([&](const std::vector<Finding>& all) { return count(all, "job-2") >= 10; });
  EXPECT_EQ(count(during, "job-1"), 1);
  listener_.Release();
  listener_.WaitFor([&](const std::vector<Finding>& all) { return count(all, "job-1") >= 3; });
  EXPECT_FALSE(listener_.overlapped());
}

TEST_F(ProberTest, SoManyAtATimeAndAllGetTheirTurn) {
  http_.SetAnswer(ReadinessUrl(), 200);
  http_.Hold(ReadinessUrl());
  ProberConfig config = OnceConfig();
  config.max_concurrent = 8;
  const auto prober = NewProber(config);
  for (int i = 0; i < 100; ++i) {
    prober->OnChange(RecordIn(Phase::kStarting, absl::StrFormat("job-%d", i)));
  }
  ASSERT_TRUE(http_.WaitForRequests(8));
  http_.Release(ReadinessUrl());
  std::set<std::string> jobs;
  for (const Finding& finding : listener_.WaitForCount(100)) jobs.insert(finding.job_id);
  EXPECT_EQ(jobs.size(), 100u);
  EXPECT_EQ(client_.most(), 8);
}

TEST_F(ProberTest, AStoppedServiceIsForgottenAlsoInFlight) {
  http_.SetAnswer(ReadinessUrl(), 200);
  http_.Hold(ReadinessUrl());
  const auto prober = NewProber(OnceConfig());
  prober->OnChange(RecordIn(Phase::kReady, "job-1"));
  ASSERT_TRUE(http_.WaitForRequests(1));
  prober->OnChange(RecordIn(Phase::kStopped, "job-1"));
  prober->OnExchangeFailed("job-1");
  http_.Release(ReadinessUrl());
  // Two rounds of job-2 come after job-1's answer: a finding of job-1 would stand before them.
  prober->OnChange(RecordIn(Phase::kReady, "job-2"));
  listener_.WaitForCount(1);
  prober->OnExchangeFailed("job-2");
  for (const Finding& finding : listener_.WaitForCount(2)) EXPECT_EQ(finding.job_id, "job-2");
}

TEST_F(ProberTest, FailedAndDrainingServicesAreLeftAlone) {
  const auto prober = NewProber(QuickConfig());
  prober->OnChange(RecordIn(Phase::kFailed, "failed"));
  prober->OnChange(RecordIn(Phase::kDraining, "draining"));
  prober->OnChange(RecordIn(Phase::kLaunching, "launching"));
  prober->OnChange(RecordIn(Phase::kUnreachable, "unreachable"));
  for (const Finding& finding : listener_.WaitForCount(5)) {
    EXPECT_EQ(finding.job_id, "unreachable");
  }
}

TEST_F(ProberTest, EndsWithProbesInFlight) {
  http_.SetAnswer(ReadinessUrl(), 200);
  http_.Hold(ReadinessUrl());
  auto prober = NewProber(OnceConfig());
  prober->OnChange(RecordIn(Phase::kReady));
  ASSERT_TRUE(http_.WaitForRequests(1));
  prober.reset();
  http_.Release(ReadinessUrl());  // the answer finds nobody
  ASSERT_TRUE(http_.WaitForRequests(1));
  EXPECT_TRUE(listener_.findings().empty());
}

TEST_F(ProberTest, WhatItIsToldAfterItsEndHasNoEffect) {
  auto prober = NewProber(QuickConfig());
  prober->Stop();
  prober->OnChange(RecordIn(Phase::kReady));
  prober->OnExchangeFailed("job-1");
  prober.reset();
  EXPECT_TRUE(listener_.findings().empty());
}

TEST_F(ProberTest, EndsOnlyAfterTheFindingThatIsBeingTold) {
  auto prober = NewProber(QuickConfig());
  listener_.Hold("job-1");
  prober->OnChange(RecordIn(Phase::kReady));
  listener_.WaitForCount(1);
  std::thread opener([&] { listener_.Release(); });
  prober.reset();
  EXPECT_EQ(listener_.inside("job-1"), 0);
  opener.join();
}

}  // namespace
}  // namespace tao::readiness
