// WatchReadiness over real gRPC: many watchers of one service, and one that does not read.

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/api/server.h"
#include "server/base/mutex.h"
#include "server/readiness/hub.h"
#include "server/registry/registry.h"
#include "server/registry/state_directory.h"
#include "tao/inference/v1/inference.grpc.pb.h"
#include "tests/component/server/registry/temporary_folder.h"
#include "tests/fakes/event.h"

namespace tao::api {
namespace {

using registry::ServiceRecord;
using routing::Phase;

constexpr char kJob[] = "11111111-1111-4111-8111-111111111111";
constexpr int kWatchers = 100;  // the last does not read
// With it, 40 changes are ten times what HTTP/2 lets a server send to one that does not read.
constexpr size_t kMessageBytes = 32 << 10;
constexpr int kChangesAPhase = 40;

// What all watchers of a test wait with.
struct Board {
  base::Mutex mutex;
  base::CondVar changed;

  // False when it did not come to be within `limit`.
  bool Wait(const std::function<bool()>& condition, absl::Duration limit = kTestLimit) {
    const absl::Time end = absl::Now() + limit;
    base::MutexLock lock(mutex);
    while (!condition()) {
      const absl::Duration left = end - absl::Now();
      if (left <= absl::ZeroDuration()) return false;
      changed.WaitWithTimeout(mutex, left);
    }
    return true;
  }
};

// One call of a client. The fields are guarded by the board's mutex.
class Watcher : public grpc::ClientReadReactor<pb::ReadinessEvent> {
 public:
  Watcher(Board& board, pb::InferenceService::Stub& stub, bool reads)
      : board_(board), reads_(reads) {
    request_.set_job_id(kJob);
    stub.async()->WatchReadiness(&context_, &request_, this);
    StartRead(&event_);
    if (!reads) AddHold();  // for Resume
    StartCall();
  }

  // Reads on, after the first event.
  void Resume() {
    {
      base::MutexLock lock(board_.mutex);
      reads_ = true;
    }
    StartRead(&event_);
    RemoveHold();
  }

  void OnReadDone(bool ok) override {
    bool read_on = false;
    {
      base::MutexLock lock(board_.mutex);
      if (ok) {
        ++events;
        bytes += event_.ByteSizeLong();
        phases.push_back(event_.service().phase());
        message = event_.service().message();
      }
      read_on = ok && reads_;
      board_.changed.SignalAll();
    }
    if (read_on) StartRead(&event_);
  }

  void OnDone(const grpc::Status& end) override {
    base::MutexLock lock(board_.mutex);
    status = end;
    done = true;
    board_.changed.SignalAll();
  }

  bool Saw(pb::Phase phase) const { return !phases.empty() && phases.back() == phase; }

  int events = 0;
  size_t bytes = 0;
  std::vector<pb::Phase> phases;
  std::string message;  // of the last event
  bool done = false;
  grpc::Status status;

 private:
  Board& board_;
  bool reads_;
  grpc::ClientContext context_;
  pb::WatchReadinessRequest request_;
  pb::ReadinessEvent event_;
};

class WatchReadinessTest : public testing::Test {
 protected:
  WatchReadinessTest() {
    state_ = *registry::StateDirectory::Open(folder_.path() + "/state");
    registry_ = *registry::Registry::Open(*state_);
    registry_->AddObserver(&hub_);
    ServiceRecord record;
    record.job_id = kJob;
    record.network_arch = "cosmos-rl";
    record.platform = "local-process";
    record.created_at = absl::Now();
    EXPECT_TRUE(registry_->Insert(record).ok());
    api_ = *ApiServer::Start({.listen = "127.0.0.1:0"},
                             {.registry = registry_.get(), .hub = &hub_, .route_table = nullptr});
    // A connection for the one that does not read, with HTTP/2's initial windows throughout.
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    own.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    const std::string address = absl::StrFormat("127.0.0.1:%d", api_->port());
    const auto credentials = grpc::InsecureChannelCredentials();
    readers_ = pb::InferenceService::NewStub(grpc::CreateChannel(address, credentials));
    stuck_ = pb::InferenceService::NewStub(grpc::CreateCustomChannel(address, credentials, own));
  }

  // All have had the present state.
  void BeginWatching() {
    for (int i = 0; i < kWatchers; ++i) {
      const bool reads = i + 1 < kWatchers;
      watchers_.push_back(std::make_unique<Watcher>(board_, reads ? *readers_ : *stuck_, reads));
    }
    ASSERT_TRUE(board_.Wait([&] { return All(watchers_.size(), SawPhase(pb::PHASE_LAUNCHING)); }));
  }

  void ChangeMessages() {
    for (int i = 0; i < kChangesAPhase; ++i) {
      const auto changed = registry_->Update(
          kJob,
          [&](ServiceRecord& record) {
            record.message = absl::StrFormat("change %d ", ++changes_);
            record.message.resize(kMessageBytes, '.');
            return true;
          },
          registry::Registry::Durability::kMemory);
      ASSERT_TRUE(changed.ok()) << changed.status();
    }
  }

  void Enter(Phase phase) {
    ASSERT_TRUE(registry_
                    ->Update(kJob,
                             [&](ServiceRecord& record) {
                               record.phase = phase;
                               return true;
                             })
                    .ok());
  }

  static std::function<bool(const Watcher&)> SawPhase(pb::Phase phase) {
    return [phase](const Watcher& watcher) { return watcher.Saw(phase); };
  }
  bool All(size_t count, const std::function<bool(const Watcher&)>& holds) const {
    return std::all_of(watchers_.begin(), watchers_.begin() + static_cast<ptrdiff_t>(count),
                       [&](const auto& watcher) { return holds(*watcher); });
  }
  Watcher& slow() { return *watchers_.back(); }

  registry::TemporaryFolder folder_;
  std::unique_ptr<registry::StateDirectory> state_;
  std::unique_ptr<registry::Registry> registry_;
  readiness::Hub hub_;
  std::unique_ptr<ApiServer> api_;
  std::unique_ptr<pb::InferenceService::Stub> readers_, stuck_;
  Board board_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
  int changes_ = 0;
};

TEST_F(WatchReadinessTest, OneThatDoesNotReadKeepsNobodyWaitingAndNoBacklog) {
  BeginWatching();
  const struct {
    Phase phase;
    pb::Phase told;
  } rows[] = {{Phase::kStarting, pb::PHASE_STARTING},
              {Phase::kInitializing, pb::PHASE_INITIALIZING},
              {Phase::kLoading, pb::PHASE_LOADING},
              {Phase::kReady, pb::PHASE_READY}};
  for (const auto& row : rows) {
    ChangeMessages();
    const absl::Time changed = absl::Now();
    Enter(row.phase);
    ASSERT_TRUE(board_.Wait([&] { return All(kWatchers - 1, SawPhase(row.told)); }))
        << "phase " << pb::Phase_Name(row.told);
    std::printf("%d watchers saw %s after %s\n", kWatchers - 1, pb::Phase_Name(row.told).c_str(),
                absl::FormatDuration(absl::Now() - changed).c_str());
  }
  const std::string last = absl::StrFormat("change %d ", changes_);
  {
    base::MutexLock lock(board_.mutex);
    EXPECT_EQ(slow().events, 1) << "it did not read meanwhile";
  }

  slow().Resume();
  ASSERT_TRUE(board_.Wait([&] { return slow().Saw(pb::PHASE_READY); }));
  {
    base::MutexLock lock(board_.mutex);
    EXPECT_EQ(slow().message.substr(0, last.size()), last) << "the newest state";
    EXPECT_TRUE(std::is_sorted(slow().phases.begin(), slow().phases.end()));
    // All that was kept for it, by the server and on the way: what HTTP/2 had let out and one more.
    EXPECT_LT(slow().bytes, changes_ * kMessageBytes / 10);
    EXPECT_LT(slow().events, changes_ / 10);
  }

  Enter(Phase::kDraining);
  Enter(Phase::kStopped);
  ASSERT_TRUE(board_.Wait([&] { return All(kWatchers, [](const Watcher& w) { return w.done; }); }));
  for (const auto& watcher : watchers_) {
    EXPECT_TRUE(watcher->status.ok()) << watcher->status.error_message();
    EXPECT_TRUE(watcher->Saw(pb::PHASE_STOPPED));
    EXPECT_TRUE(std::is_sorted(watcher->phases.begin(), watcher->phases.end()));
  }
}

// The service stops while one does not read: it still gets the final state when it does.
TEST_F(WatchReadinessTest, OneThatDoesNotReadGetsTheFinalStateLater) {
  BeginWatching();
  ChangeMessages();
  Enter(Phase::kStopped);
  ASSERT_TRUE(
      board_.Wait([&] { return All(kWatchers - 1, [](const Watcher& w) { return w.done; }); }));
  slow().Resume();
  ASSERT_TRUE(board_.Wait([&] { return slow().done; }));
  EXPECT_TRUE(slow().Saw(pb::PHASE_STOPPED));
  EXPECT_TRUE(slow().status.ok());
}

TEST_F(WatchReadinessTest, ShutdownEndsAllAndOneThatDoesNotReadDoesNotHoldItUp) {
  BeginWatching();
  ChangeMessages();
  const absl::Time begun = absl::Now();
  api_->Shutdown(begun + absl::Minutes(1));
  EXPECT_LT(absl::Now() - begun, kTestLimit);
  slow().Resume();
  ASSERT_TRUE(board_.Wait([&] { return All(kWatchers, [](const Watcher& w) { return w.done; }); }));
  for (int i = 0; i + 1 < kWatchers; ++i) {
    EXPECT_EQ(watchers_[i]->status.error_code(), grpc::StatusCode::UNAVAILABLE);
  }
  EXPECT_FALSE(slow().status.ok());
}

}  // namespace
}  // namespace tao::api
