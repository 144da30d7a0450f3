#include "server/registry/registry.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "server/base/uuid.h"
#include "tests/component/server/registry/temporary_folder.h"

namespace tao::registry {
namespace {

using routing::Phase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'790'000'000);

ServiceRecord NewRecord(const std::string& request_id = "") {
  ServiceRecord record;
  record.job_id = base::NewUuid();
  record.network_arch = "cosmos-rl";
  record.platform = "local-process";
  record.request_id = request_id;
  record.created_at = kNow;
  record.journal = {.operation = Operation::kStart, .step = Step::kAccept};
  return record;
}

// Keeps what it was told, and whether two calls ever overlapped.
class Recorder : public RegistryObserver {
 public:
  void OnChange(const ServiceRecord& record) override {
    if (inside_.exchange(true)) overlapped_ = true;
    {
      const base::MutexLock lock(mutex_);
      told_.push_back(record);
    }
    inside_ = false;
  }
  std::vector<ServiceRecord> told() const {
    const base::MutexLock lock(mutex_);
    return told_;
  }
  bool overlapped() const { return overlapped_; }

 private:
  mutable base::Mutex mutex_;
  std::vector<ServiceRecord> told_;
  std::atomic<bool> inside_ = false;
  std::atomic<bool> overlapped_ = false;
};

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    registry_.reset();
    state_.reset();
    auto state = StateDirectory::Open(folder_.path() + "/state");
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = *std::move(state);
    auto registry = Registry::Open(*state_);
    ASSERT_TRUE(registry.ok()) << registry.status();
    registry_ = *std::move(registry);
  }
  absl::StatusOr<ServiceRecord> SetPhase(const std::string& job_id, Phase phase,
                                         absl::Time ended_at = absl::InfiniteFuture()) {
    return registry_->Update(job_id, [&](ServiceRecord& record) {
      record.phase = phase;
      record.ended_at = ended_at;
      return true;
    });
  }
  std::string ServicesFolder() const { return folder_.path() + "/state/services"; }

  TemporaryFolder folder_;
  std::unique_ptr<StateDirectory> state_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RegistryTest, ChangesAreThereAfterARestart) {
  const ServiceRecord record = NewRecord("r-1");
  ASSERT_TRUE(registry_->Insert(record).ok());
  ASSERT_TRUE(SetPhase(record.job_id, Phase::kReady).ok());
  Reopen();
  const auto found = registry_->Find(record.job_id);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->phase, Phase::kReady);
  EXPECT_EQ(registry_->FindRequest("r-1")->job_id, record.job_id);
}

TEST_F(RegistryTest, InsertRefusesAJobIdAndARequestIdThatAreThere) {
  const ServiceRecord record = NewRecord("r-1");
  ASSERT_TRUE(registry_->Insert(record).ok());
  EXPECT_EQ(registry_->Insert(record).code(), absl::StatusCode::kAlreadyExists);
  const absl::Status same_request = registry_->Insert(NewRecord("r-1"));
  EXPECT_EQ(same_request.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(same_request.message()), HasSubstr(record.job_id));
  EXPECT_TRUE(registry_->Insert(NewRecord()).ok());
  EXPECT_TRUE(registry_->Insert(NewRecord()).ok()) << "no request_id is no request_id";
}

TEST_F(RegistryTest, InsertThatCannotBeSavedLeavesNothingBehind) {
  ServiceRecord record = NewRecord("r-1");
  record.job_id = "no uuid";
  EXPECT_EQ(registry_->Insert(record).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(registry_->Find("no uuid").has_value());
  EXPECT_FALSE(registry_->FindRequest("r-1").has_value());
  EXPECT_TRUE(registry_->Insert(NewRecord("r-1")).ok());
}

TEST_F(RegistryTest, UpdateThatCannotBeSavedChangesNothing) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  Recorder recorder;
  registry_->AddObserver(&recorder);
  std::filesystem::rename(ServicesFolder(), ServicesFolder() + "-away");
  EXPECT_FALSE(SetPhase(record.job_id, Phase::kReady).ok());
  EXPECT_EQ(registry_->Find(record.job_id)->phase, Phase::kLaunching);
  EXPECT_THAT(recorder.told(), SizeIs(1)) << "what AddObserver told";
  std::filesystem::rename(ServicesFolder() + "-away", ServicesFolder());
  EXPECT_TRUE(SetPhase(record.job_id, Phase::kReady).ok()) << "the record is not busy for ever";
}

TEST_F(RegistryTest, ListIsByAgeWithoutStoppedOnes) {
  ServiceRecord old = NewRecord(), young = NewRecord(), stopped = NewRecord();
  old.created_at = kNow - absl::Seconds(1);
  for (const ServiceRecord& record : {young, stopped, old}) {
    ASSERT_TRUE(registry_->Insert(record).ok());
  }
  ASSERT_TRUE(SetPhase(stopped.job_id, Phase::kStopped, kNow).ok());
  std::vector<std::string> listed;
  for (const auto& record : registry_->List()) listed.push_back(record->job_id);
  EXPECT_THAT(listed, ElementsAre(old.job_id, young.job_id));
  EXPECT_EQ(registry_->Find(stopped.job_id)->phase, Phase::kStopped);
}

TEST_F(RegistryTest, ChangeThatSaysFalseIsNone) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  const uint64_t revision = registry_->Find(record.job_id)->revision;
  const auto same = registry_->Update(record.job_id, [](ServiceRecord& copy) {
    copy.message = "never seen";
    return false;
  });
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(same->message, "");
  EXPECT_EQ(registry_->Find(record.job_id)->revision, revision);
}

TEST_F(RegistryTest, MemoryChangeIsSavedWithTheNextDurableOne) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  const auto progress = [](ServiceRecord& copy) {
    copy.progress.message = "layer 3 of 9";
    return true;
  };
  ASSERT_TRUE(registry_->Update(record.job_id, progress, Registry::Durability::kMemory).ok());
  EXPECT_EQ(registry_->Find(record.job_id)->progress.message, "layer 3 of 9");
  Reopen();
  EXPECT_EQ(registry_->Find(record.job_id)->progress.message, "");
  ASSERT_TRUE(registry_->Update(record.job_id, progress, Registry::Durability::kMemory).ok());
  ASSERT_TRUE(SetPhase(record.job_id, Phase::kStarting).ok());
  Reopen();
  EXPECT_EQ(registry_->Find(record.job_id)->progress.message, "layer 3 of 9");
}

TEST_F(RegistryTest, StoppedRecordChangesNoMore) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  ASSERT_TRUE(SetPhase(record.job_id, Phase::kStopped, kNow).ok());
  bool called = false;
  const auto updated =
      registry_->Update(record.job_id, [&](ServiceRecord&) { return called = true; });
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->phase, Phase::kStopped);
  EXPECT_FALSE(called);
  EXPECT_EQ(registry_->BeginStep(record.job_id, Operation::kStop, Step::kDrain).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(registry_->Update("nobody", [](ServiceRecord&) { return true; }).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(RegistryTest, JournalOutlivesTheProcess) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  ASSERT_TRUE(registry_->EndStep(record.job_id, Operation::kStart, Step::kAccept).ok());
  ASSERT_TRUE(registry_->BeginStep(record.job_id, Operation::kStart, Step::kSpawnProcess).ok());
  Reopen();
  JournalEntry journal = registry_->Find(record.job_id)->journal;
  EXPECT_EQ(journal.operation, Operation::kStart);
  EXPECT_EQ(journal.step, Step::kSpawnProcess);
  EXPECT_FALSE(journal.done);
  ASSERT_TRUE(registry_->EndStep(record.job_id, Operation::kStart, Step::kSpawnProcess).ok());
  Reopen();
  journal = registry_->Find(record.job_id)->journal;
  EXPECT_EQ(journal.step, Step::kSpawnProcess);
  EXPECT_TRUE(journal.done);
}

TEST_F(RegistryTest, PublishedIsJournaledWithItsStep) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  ASSERT_TRUE(registry_->BeginStep(record.job_id, Operation::kStart, Step::kPublish).ok());
  Reopen();
  EXPECT_TRUE(registry_->Find(record.job_id)->published);
  ASSERT_TRUE(registry_->BeginStep(record.job_id, Operation::kStop, Step::kUnpublish).ok());
  Reopen();
  EXPECT_FALSE(registry_->Find(record.job_id)->published);
}

struct TakeOverCase {
  std::string name;
  Operation holder, comer;
  absl::StatusCode want;
};
class TakeOverTest : public RegistryTest, public testing::WithParamInterface<TakeOverCase> {};

TEST_P(TakeOverTest, OneOperationGoesFirst) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  const auto first_step = [](Operation operation) { return StepsOf(operation).front(); };
  const auto [name, holder, comer, want] = GetParam();
  ASSERT_TRUE(registry_->BeginStep(record.job_id, holder, first_step(holder)).ok());
  EXPECT_EQ(registry_->BeginStep(record.job_id, comer, first_step(comer)).code(), want);
  const bool taken_over = want == absl::StatusCode::kOk && holder != comer;
  EXPECT_EQ(registry_->EndStep(record.job_id, holder, first_step(holder)).code(),
            taken_over ? absl::StatusCode::kAborted : absl::StatusCode::kOk);
}

INSTANTIATE_TEST_SUITE_P(
    Meetings, TakeOverTest,
    testing::ValuesIn<TakeOverCase>({
        {"StopTakesStart", Operation::kStart, Operation::kStop, absl::StatusCode::kOk},
        {"StopTakesFail", Operation::kFail, Operation::kStop, absl::StatusCode::kOk},
        {"FailTakesStart", Operation::kStart, Operation::kFail, absl::StatusCode::kOk},
        {"StopGoesOn", Operation::kStop, Operation::kStop, absl::StatusCode::kOk},
        {"StartLosesToStop", Operation::kStop, Operation::kStart, absl::StatusCode::kAborted},
        {"StartLosesToFail", Operation::kFail, Operation::kStart, absl::StatusCode::kAborted},
        {"FailLosesToStop", Operation::kStop, Operation::kFail, absl::StatusCode::kAborted},
    }),
    [](const auto& test) { return test.param.name; });

TEST_F(RegistryTest, StepOfAnotherOperationIsOurBug) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  EXPECT_EQ(registry_->BeginStep(record.job_id, Operation::kStart, Step::kRelease).code(),
            absl::StatusCode::kInternal);
}

TEST_F(RegistryTest, ForeignRecordsAreNotOurTruth) {
  ServiceRecord record = NewRecord();
  record.job_id = "not-even-a-uuid";
  record.foreign = true;
  ASSERT_TRUE(registry_->Insert(record).ok());
  ASSERT_TRUE(SetPhase(record.job_id, Phase::kReady).ok());
  EXPECT_THAT(registry_->List(), SizeIs(1));
  EXPECT_TRUE(std::filesystem::is_empty(ServicesFolder()));
  // Gone from the registry file, and back in it.
  ASSERT_TRUE(SetPhase(record.job_id, Phase::kStopped, kNow).ok());
  EXPECT_FALSE(registry_->Find(record.job_id).has_value());
  EXPECT_TRUE(registry_->Insert(record).ok());
}

TEST_F(RegistryTest, EndedRecordsAreForgottenAfterADay) {
  Recorder recorder;
  registry_->AddObserver(&recorder);
  const ServiceRecord stopped = NewRecord("r-stopped"), failed = NewRecord("r-failed"),
                      dirty = NewRecord(), live = NewRecord();
  ServiceRecord kept = NewRecord();
  kept.keep_failed = true;
  for (const ServiceRecord& record : {stopped, failed, kept, dirty, live}) {
    ASSERT_TRUE(registry_->Insert(record).ok());
  }
  const auto end = [&](const ServiceRecord& record, Phase phase, Operation unfinished) {
    ASSERT_TRUE(registry_
                    ->Update(record.job_id,
                             [&](ServiceRecord& copy) {
                               copy.phase = phase;
                               copy.ended_at = kNow;
                               copy.journal = {.operation = unfinished};
                               return true;
                             })
                    .ok());
  };
  end(stopped, Phase::kStopped, Operation::kNone);
  end(failed, Phase::kFailed, Operation::kNone);
  end(kept, Phase::kFailed, Operation::kNone);
  end(dirty, Phase::kFailed, Operation::kFail);

  registry_->Prune(kNow + absl::Hours(24) - absl::Seconds(1));
  EXPECT_TRUE(registry_->FindRequest("r-stopped").has_value());
  EXPECT_THAT(registry_->List(), SizeIs(4));

  registry_->Prune(kNow + absl::Hours(24));
  EXPECT_FALSE(registry_->Find(stopped.job_id).has_value());
  EXPECT_FALSE(registry_->FindRequest("r-failed").has_value());
  EXPECT_EQ(recorder.told().back().job_id, failed.job_id);
  EXPECT_EQ(recorder.told().back().phase, Phase::kStopped);
  Reopen();
  std::set<std::string> left;
  for (const auto& record : registry_->List()) left.insert(record->job_id);
  EXPECT_EQ(left, (std::set<std::string>{kept.job_id, dirty.job_id, live.job_id}));
}

TEST_F(RegistryTest, ObserverHearsOfWhatIsThereAndOfEachChange) {
  const ServiceRecord record = NewRecord();
  ASSERT_TRUE(registry_->Insert(record).ok());
  Recorder recorder;
  registry_->AddObserver(&recorder);
  ASSERT_TRUE(SetPhase(record.job_id, Phase::kReady).ok());
  ASSERT_TRUE(SetPhase(record.job_id, Phase::kStopped, kNow).ok());
  std::vector<Phase> phases;
  for (const ServiceRecord& told : recorder.told()) phases.push_back(told.phase);
  EXPECT_THAT(phases, ElementsAre(Phase::kLaunching, Phase::kReady, Phase::kStopped));
}

// Whoever made a change finds that every observer knows it; all of them in order, none at once.
TEST_F(RegistryTest, ThirtyTwoThreadsAreToldInOrderAndBeforeTheyReturn) {
  constexpr int kThreads = 32, kChanges = 8;
  Recorder recorder;
  registry_->AddObserver(&recorder);
  const ServiceRecord shared = NewRecord();
  ASSERT_TRUE(registry_->Insert(shared).ok());
  std::atomic<int> untold = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const ServiceRecord own = NewRecord(base::NewUuid());
      if (!registry_->Insert(own).ok()) ++untold;
      for (int n = 0; n < kChanges; ++n) {
        const auto changed = registry_->Update(
            shared.job_id,
            [](ServiceRecord& record) {
              ++record.host_port;
              return true;
            },
            Registry::Durability::kMemory);
        const std::vector<ServiceRecord> told = recorder.told();
        const bool knows = std::any_of(told.begin(), told.end(), [&](const ServiceRecord& record) {
          return record.revision == changed->revision;
        });
        if (!knows) ++untold;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(untold, 0);
  EXPECT_FALSE(recorder.overlapped());
  EXPECT_EQ(registry_->Find(shared.job_id)->host_port, kThreads * kChanges);
  uint64_t last = 0;
  for (const ServiceRecord& record : recorder.told()) {
    EXPECT_EQ(record.revision, last + 1);
    last = record.revision;
  }
  EXPECT_THAT(registry_->List(), SizeIs(kThreads + 1));
}

TEST_F(RegistryTest, OneRequestIdStartsOneServiceUnderRaces) {
  constexpr int kThreads = 16;
  std::atomic<int> accepted = 0, refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const absl::StatusCode code = registry_->Insert(NewRecord("r-1")).code();
      if (code == absl::StatusCode::kOk) ++accepted;
      if (code == absl::StatusCode::kAlreadyExists && registry_->FindRequest("r-1").has_value()) {
        ++refused;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(accepted, 1);
  EXPECT_EQ(refused, kThreads - 1);
}

TEST_F(RegistryTest, ObserverMayReadTheRegistry) {
  class Reader : public RegistryObserver {
   public:
    explicit Reader(Registry& registry) : registry_(registry) {}
    void OnChange(const ServiceRecord& record) override {
      found = registry_.Find(record.job_id).has_value();
    }
    std::atomic<bool> found = false;

   private:
    Registry& registry_;
  };
  Reader reader(*registry_);
  registry_->AddObserver(&reader);
  ASSERT_TRUE(registry_->Insert(NewRecord()).ok());
  EXPECT_TRUE(reader.found);
}

// A child carries out one operation and is killed at the armed point; what it leaves is loaded
// again.
class FaultPointTest : public testing::TestWithParam<std::string> {};

TEST_P(FaultPointTest, JournalSaysWhereTheProcessDied) {
  const TemporaryFolder folder;
  const std::string name = GetParam();
  const ServiceRecord record = NewRecord();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!ArmFaultPoint(name).ok()) _exit(1);
    auto state = StateDirectory::Open(folder.path() + "/state");
    if (!state.ok()) _exit(2);
    auto registry = Registry::Open(**state);
    if (!registry.ok() || !(*registry)->Insert(record).ok()) _exit(3);
    for (const Operation operation : {Operation::kStart, Operation::kFail, Operation::kStop}) {
      for (const Step step : StepsOf(operation)) {
        // Insert has begun the first step.
        if (step != Step::kAccept && !(*registry)->BeginStep(record.job_id, operation, step).ok()) {
          _exit(4);
        }
        if (!(*registry)->EndStep(record.job_id, operation, step).ok()) _exit(5);
      }
    }
    _exit(6);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "exit " << WEXITSTATUS(status);

  auto state = StateDirectory::Open(folder.path() + "/state");
  ASSERT_TRUE(state.ok()) << state.status();
  auto loaded = (*state)->LoadAll();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->broken, IsEmpty());
  ASSERT_THAT(loaded->records, SizeIs(1));
  const JournalEntry journal = loaded->records.front().journal;
  // At NAME and at NAME.done the journal says the same: begun. Only the next write says done.
  const std::string journaled =
      std::string(ToString(journal.operation)) + "." + std::string(ToString(journal.step));
  EXPECT_EQ(journaled, name.substr(0, name.size() - (name.ends_with(".done") ? 5 : 0)));
  EXPECT_FALSE(journal.done);
}

INSTANTIATE_TEST_SUITE_P(All, FaultPointTest, testing::ValuesIn(FaultPointNames()),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) {
                             if (c == '.' || c == '-') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace tao::registry
