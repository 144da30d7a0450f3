#include "server/registry/registry_file_sync.h"

#include <gmock/gmock.h>
#include <poll.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "server/base/uuid.h"
#include "server/registry/folder_watch.h"
#include "server/registry/registry_file.h"
#include "tests/component/server/registry/temporary_folder.h"
#include "tests/fakes/fake_clock.h"

namespace tao::registry {
namespace {

namespace fs = std::filesystem;
using routing::Phase;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr absl::Duration kLimit = absl::Seconds(5);

// What lifecycle is told, as text: "entry JOB_ID URL", "gone JOB_ID", "vanished JOB_ID".
class Listener : public ForeignEntryListener {
 public:
  void OnForeignEntry(const FileEntry& entry) override {
    Add("entry " + entry.job_id + " " + entry.host_url);
  }
  void OnForeignEntryGone(std::string_view job_id) override { Add("gone " + std::string(job_id)); }
  void OnOurEntryVanished(std::string_view job_id) override {
    Add("vanished " + std::string(job_id));
  }

  std::vector<std::string> told() const {
    const base::MutexLock lock(mutex_);
    return told_;
  }
  // Waits until `text` was told after the last call of this; false after the limit.
  bool WaitFor(const std::string& text) {
    const absl::Time deadline = absl::Now() + kLimit;
    const base::MutexLock lock(mutex_);
    while (true) {
      for (; next_ < told_.size(); ++next_) {
        if (told_[next_] == text) return ++next_, true;
      }
      if (changed_.WaitWithTimeout(mutex_, deadline - absl::Now())) return false;
    }
  }

 private:
  void Add(std::string text) {
    const base::MutexLock lock(mutex_);
    told_.push_back(std::move(text));
    changed_.SignalAll();
  }

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mutex_);
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
};

class RegistryFileSyncTest : public testing::Test {
 protected:
  void SetUp() override {
    OpenRegistry();
    fs::create_directories(shared_);
  }
  void TearDown() override { sync_.reset(); }

  void OpenRegistry() {
    sync_.reset();
    registry_.reset();
    state_.reset();
    auto state = StateDirectory::Open(folder_.path() + "/state");
    ASSERT_TRUE(state.ok()) << state.status();
    state_ = *std::move(state);
    auto registry = Registry::Open(*state_);
    ASSERT_TRUE(registry.ok()) << registry.status();
    registry_ = *std::move(registry);
    sync_ = std::make_unique<RegistryFileSync>(path_, *registry_, clock_);
    registry_->AddObserver(sync_.get());
  }
  void Start() {
    const absl::Status started = sync_->Start(listener_);
    ASSERT_TRUE(started.ok()) << started;
  }

  // A service whose container runs, not published yet.
  std::string NewService(int second = 0) {
    ServiceRecord record;
    record.job_id = base::NewUuid();
    record.network_arch = "cosmos-rl";
    record.platform = "local-process";
    record.host_url = "http://localhost:8081";
    record.host_port = 8081;
    record.phase = Phase::kStarting;
    record.started_at = absl::FromUnixSeconds(1'790'000'000 + second);
    record.journal = {.operation = Operation::kStart, .step = Step::kAccept};
    EXPECT_TRUE(registry_->Insert(record).ok());
    return record.job_id;
  }
  absl::Status Publish(const std::string& job_id) {
    const absl::Status begun = registry_->BeginStep(job_id, Operation::kStart, Step::kPublish);
    return begun.ok() ? sync_->PublishNow(job_id) : begun;
  }
  absl::Status Unpublish(const std::string& job_id) {
    const absl::Status begun = registry_->BeginStep(job_id, Operation::kStop, Step::kUnpublish);
    return begun.ok() ? sync_->UnpublishNow(job_id) : begun;
  }
  void SetStopped(const std::string& job_id) {
    ASSERT_TRUE(registry_
                    ->Update(job_id,
                             [&](ServiceRecord& record) {
                               record.phase = Phase::kStopped;
                               record.ended_at = clock_.Now();
                               return true;
                             })
                    .ok());
  }

  // Another tool: no lock, a temporary file and a rename.
  void WriteAsTool(const std::string& text) {
    std::ofstream(path_ + ".theirs") << text;
    fs::rename(path_ + ".theirs", path_);
  }
  static std::string Theirs(const std::string& job_id, int port = 9000) {
    return "\"" + job_id + R"(": {"job_id": ")" + job_id + R"(", "host_url": "http://localhost:)" +
           std::to_string(port) + R"("})";
  }
  std::string Text() const {
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    return text.str();
  }
  // The names of the file's members, "latest" aside; "broken" when it is.
  std::vector<std::string> InFile() const {
    const auto reading = RegistryFile(path_).Read();
    if (!reading.ok()) return {"broken"};
    std::vector<std::string> names;
    for (const RawMember& member : reading->content.members) {
      if (member.name != kLatestKey) names.push_back(member.name);
    }
    return names;
  }
  // Waits for the file to be written until it holds exactly `want`.
  bool WaitForInFile(std::vector<std::string> want) const {
    std::sort(want.begin(), want.end());
    FolderWatch watch;
    EXPECT_TRUE(watch.Watch(shared_, "state.json").ok());
    const absl::Time deadline = absl::Now() + kLimit;
    while (true) {
      std::vector<std::string> names = InFile();
      std::sort(names.begin(), names.end());
      if (names == want) return true;
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) return false;
      pollfd event = {.fd = watch.fd(), .events = POLLIN, .revents = 0};
      poll(&event, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
      watch.TakeEvents();
    }
  }

  TemporaryFolder folder_;
  const std::string shared_ = folder_.path() + "/shared";
  const std::string path_ = shared_ + "/state.json";
  fakes::FakeClock clock_;
  Listener listener_;
  std::unique_ptr<StateDirectory> state_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<RegistryFileSync> sync_;
};

TEST_F(RegistryFileSyncTest, ServiceIsInTheFileFromPublishToUnpublish) {
  Start();
  const std::string a = NewService(1), b = NewService(2);
  EXPECT_FALSE(fs::exists(path_)) << "nothing runs, nothing is written";
  ASSERT_TRUE(Publish(b).ok());
  ASSERT_TRUE(Publish(a).ok());
  EXPECT_THAT(InFile(), ElementsAre(b, a));
  EXPECT_NE(Text().find("\"latest\": \"" + b + "\""), std::string::npos) << Text();
  ASSERT_TRUE(Unpublish(b).ok());
  EXPECT_THAT(InFile(), ElementsAre(a));
  EXPECT_NE(Text().find("\"latest\": \"" + a + "\""), std::string::npos) << Text();
  ASSERT_TRUE(Unpublish(a).ok());
  EXPECT_EQ(Text(), "{}\n");
}

TEST_F(RegistryFileSyncTest, ChangeOfAPublishedFieldIsWritten) {
  Start();
  const std::string job_id = NewService();
  ASSERT_TRUE(Publish(job_id).ok());
  const uint64_t before = registry_->Find(job_id)->revision;
  ASSERT_TRUE(registry_
                  ->Update(job_id,
                           [](ServiceRecord& record) {
                             record.host_url = "http://localhost:8082";
                             return true;
                           })
                  .ok());
  EXPECT_GT(registry_->Find(job_id)->revision, before);
  // Asking for another pass waits for the one that the change has begun.
  ASSERT_TRUE(sync_->PublishNow(job_id).ok());
  EXPECT_NE(Text().find("http://localhost:8082"), std::string::npos) << Text();
}

TEST_F(RegistryFileSyncTest, ThirtyTwoAtOnceAreAllThere) {
  Start();
  std::vector<std::string> job_ids;
  for (int i = 0; i < 32; ++i) job_ids.push_back(NewService(i));
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  for (const std::string& job_id : job_ids) {
    threads.emplace_back([&] {
      if (!Publish(job_id).ok()) ++failed;
      const std::vector<std::string> names = InFile();
      if (std::find(names.begin(), names.end(), job_id) == names.end()) ++failed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_THAT(InFile(), testing::UnorderedElementsAreArray(job_ids));
  EXPECT_NE(Text().find("\"latest\": \"" + job_ids.back() + "\""), std::string::npos);
}

TEST_F(RegistryFileSyncTest, ForeignEntriesAreToldAsTheyComeChangeAndGo) {
  WriteAsTool("{" + Theirs("x") + "}");
  Start();
  EXPECT_THAT(listener_.told(), ElementsAre("entry x http://localhost:9000"));
  EXPECT_EQ(sync_->ForeignPorts(), (std::set<int>{9000}));
  WriteAsTool("{" + Theirs("x") + "," + Theirs("y", 9001) + "}");
  EXPECT_TRUE(listener_.WaitFor("entry y http://localhost:9001"));
  EXPECT_EQ(sync_->ForeignPorts(), (std::set<int>{9000, 9001}));
  WriteAsTool("{" + Theirs("x", 9002) + "," + Theirs("y", 9001) + "}");
  EXPECT_TRUE(listener_.WaitFor("entry x http://localhost:9002"));
  WriteAsTool("{" + Theirs("x", 9002) + "}");
  EXPECT_TRUE(listener_.WaitFor("gone y"));
  fs::remove(path_);
  EXPECT_TRUE(listener_.WaitFor("gone x"));
  EXPECT_THAT(sync_->ForeignPorts(), IsEmpty());
  EXPECT_THAT(listener_.told(), SizeIs(5)) << "nothing is told twice";
}

TEST_F(RegistryFileSyncTest, OurWritesLeaveOthersAsTheyAre) {
  WriteAsTool("{\"version\": 1.50, " + Theirs("x") + "}");
  Start();
  const std::string job_id = NewService();
  ASSERT_TRUE(Publish(job_id).ok());
  EXPECT_THAT(InFile(), ElementsAre("version", "x", job_id));
  EXPECT_NE(Text().find("\"version\": 1.50"), std::string::npos) << Text();
  ASSERT_TRUE(Unpublish(job_id).ok());
  EXPECT_THAT(InFile(), ElementsAre("version", "x"));
  EXPECT_THAT(listener_.told(), ElementsAre("entry x http://localhost:9000"));
}

TEST_F(RegistryFileSyncTest, EntryThatCannotBeRoutedToIsKeptAndNotTold) {
  WriteAsTool(R"({"bad one": {"host_url": "http://localhost:9000"}, "worse": {"host_port": 9001,
              "platform": "local-docker"}})");
  Start();
  const std::string job_id = NewService();
  ASSERT_TRUE(Publish(job_id).ok());
  EXPECT_THAT(InFile(), ElementsAre("bad one", "worse", job_id));
  EXPECT_THAT(listener_.told(), IsEmpty());
  EXPECT_EQ(sync_->ForeignPorts(), (std::set<int>{9000, 9001}))
      << "their ports are taken all the same";
}

TEST_F(RegistryFileSyncTest, VanishedEntryIsAskedAboutBeforeItIsWrittenBack) {
  Start();
  const std::string a = NewService(1), b = NewService(2);
  ASSERT_TRUE(Publish(a).ok());
  WriteAsTool("{" + Theirs("x") + "}");
  ASSERT_TRUE(listener_.WaitFor("vanished " + a));
  // Nobody has said yet that it runs: another write leaves it out.
  ASSERT_TRUE(Publish(b).ok());
  EXPECT_THAT(InFile(), ElementsAre("x", b));
  ASSERT_TRUE(sync_->PublishNow(a).ok());
  EXPECT_THAT(InFile(), ElementsAre("x", b, a));
}

TEST_F(RegistryFileSyncTest, VanishedEntryOfAServiceThatIsGoneStaysOut) {
  Start();
  const std::string a = NewService();
  ASSERT_TRUE(Publish(a).ok());
  WriteAsTool("{}");
  ASSERT_TRUE(listener_.WaitFor("vanished " + a));
  ASSERT_TRUE(Unpublish(a).ok());
  EXPECT_EQ(Text(), "{}") << "there was nothing to write";
}

// The tool read the file, we published b, and the tool writes what it read, with its own x added.
TEST_F(RegistryFileSyncTest, StaleCopyLosesNothingOfOurs) {
  Start();
  const std::string a = NewService(1), b = NewService(2);
  ASSERT_TRUE(Publish(a).ok());
  const std::string stale = Text();
  ASSERT_TRUE(Publish(b).ok());
  WriteAsTool(stale.substr(0, stale.rfind('}')) + "," + Theirs("x") + "}");
  ASSERT_TRUE(listener_.WaitFor("vanished " + b));
  ASSERT_TRUE(sync_->PublishNow(b).ok());
  EXPECT_THAT(InFile(), UnorderedElementsAre(a, b, "x"));
}

TEST_F(RegistryFileSyncTest, StoppedEntryThatComesBackIsRemovedAgain) {
  Start();
  const std::string a = NewService(1), b = NewService(2);
  ASSERT_TRUE(Publish(a).ok());
  ASSERT_TRUE(Publish(b).ok());
  const std::string stale = Text();
  ASSERT_TRUE(Unpublish(a).ok());
  SetStopped(a);
  WriteAsTool(stale);
  EXPECT_TRUE(WaitForInFile({b}));
  EXPECT_THAT(listener_.told(), IsEmpty()) << "it is not taken for another tool's";
}

TEST_F(RegistryFileSyncTest, ForeignEntryThatWeRemovedStaysAwayForADay) {
  WriteAsTool("{" + Theirs("x") + "}");
  Start();
  ASSERT_TRUE(sync_->UnpublishNow("x").ok());
  EXPECT_THAT(InFile(), IsEmpty());
  EXPECT_TRUE(listener_.WaitFor("gone x"));
  WriteAsTool("{" + Theirs("x") + "}");
  EXPECT_TRUE(WaitForInFile({}));
  clock_.Advance(absl::Hours(24));
  WriteAsTool("{" + Theirs("x") + "}");
  EXPECT_TRUE(listener_.WaitFor("entry x http://localhost:9000"));
}

TEST_F(RegistryFileSyncTest, RemovedFileIsRebuilt) {
  Start();
  const std::string job_id = NewService();
  ASSERT_TRUE(Publish(job_id).ok());
  fs::remove(path_);
  EXPECT_TRUE(WaitForInFile({job_id}));
  EXPECT_THAT(listener_.told(), IsEmpty()) << "a file that is gone says nothing about one entry";
}

TEST_F(RegistryFileSyncTest, BrokenFileIsKeptAsideAndRebuilt) {
  Start();
  const std::string job_id = NewService();
  ASSERT_TRUE(Publish(job_id).ok());
  WriteAsTool("{\"half\": ");
  EXPECT_TRUE(WaitForInFile({job_id}));
  int kept = 0;
  for (const auto& entry : fs::directory_iterator(shared_)) {
    if (entry.path().filename().string().starts_with("state.json.broken-")) ++kept;
  }
  EXPECT_EQ(kept, 1);
}

TEST_F(RegistryFileSyncTest, RestartPutsTheFileRight) {
  Start();
  const std::string runs = NewService(1), stopped = NewService(2);
  ASSERT_TRUE(Publish(runs).ok());
  ASSERT_TRUE(Publish(stopped).ok());
  const std::string stale = Text();
  ASSERT_TRUE(Unpublish(stopped).ok());
  SetStopped(stopped);
  // While no daemon runs, a stale copy comes back, without the one that runs.
  OpenRegistry();
  std::string text = stale;
  text.replace(text.find(runs), runs.size(), "11111111-1111-4111-8111-111111111111");
  WriteAsTool(text);
  Start();
  EXPECT_THAT(InFile(), Contains(runs));
  EXPECT_THAT(InFile(), Not(Contains(stopped)));
}

TEST_F(RegistryFileSyncTest, SymlinkStopsTheStart) {
  std::ofstream(shared_ + "/victim") << "{}";
  fs::create_symlink(shared_ + "/victim", path_);
  EXPECT_EQ(sync_->Start(listener_).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(sync_->PublishNow("x").code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RegistryFileSyncTest, FolderThatIsNotThereStopsTheStart) {
  fs::remove_all(shared_);
  EXPECT_EQ(sync_->Start(listener_).code(), absl::StatusCode::kNotFound);
}

TEST_F(RegistryFileSyncTest, WriteThatFailsIsSaidAndTriedAgain) {
  Start();
  const std::string job_id = NewService();
  fs::create_directories(path_ + ".tmp-tao/in the way");
  EXPECT_FALSE(Publish(job_id).ok());
  EXPECT_FALSE(fs::exists(path_));
  fs::remove_all(path_ + ".tmp-tao");
  clock_.Advance(absl::Minutes(1));
  EXPECT_TRUE(WaitForInFile({job_id}));
}

TEST_F(RegistryFileSyncTest, FolderThatWasReplacedIsWatchedAgain) {
  Start();
  const std::string job_id = NewService();
  ASSERT_TRUE(Publish(job_id).ok());
  fs::rename(shared_, shared_ + "-away");
  EXPECT_EQ(sync_->PublishNow(job_id).code(), absl::StatusCode::kNotFound);
  fs::create_directories(shared_);
  EXPECT_TRUE(sync_->PublishNow(job_id).ok());
  EXPECT_THAT(InFile(), ElementsAre(job_id));
  WriteAsTool("{" + Theirs("x") + "," + Text().substr(1));
  EXPECT_TRUE(listener_.WaitFor("entry x http://localhost:9000"));
}

TEST_F(RegistryFileSyncTest, AfterStopNothingIsWritten) {
  Start();
  const std::string job_id = NewService();
  ASSERT_TRUE(Publish(job_id).ok());
  sync_->Stop();
  EXPECT_EQ(sync_->UnpublishNow(job_id).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(InFile(), ElementsAre(job_id)) << "services run on, and so does their entry";
}

// Two daemons, each with its own state directory, share one file.
TEST_F(RegistryFileSyncTest, TwoDaemonsKeepEachOthersEntries) {
  Start();
  auto other_state = StateDirectory::Open(folder_.path() + "/other");
  ASSERT_TRUE(other_state.ok());
  auto other_registry = Registry::Open(**other_state);
  ASSERT_TRUE(other_registry.ok());
  RegistryFileSync other_sync(path_, **other_registry, clock_);
  (*other_registry)->AddObserver(&other_sync);
  Listener other_listener;
  ASSERT_TRUE(other_sync.Start(other_listener).ok());

  std::vector<std::string> want;
  for (int i = 0; i < 8; ++i) {
    const std::string ours = NewService(i);
    ServiceRecord theirs = *registry_->Find(ours);
    theirs.job_id = base::NewUuid();
    ASSERT_TRUE((*other_registry)->Insert(theirs).ok());
    std::thread other([&] {
      EXPECT_TRUE(
          (*other_registry)->BeginStep(theirs.job_id, Operation::kStart, Step::kPublish).ok());
      EXPECT_TRUE(other_sync.PublishNow(theirs.job_id).ok());
    });
    EXPECT_TRUE(Publish(ours).ok());
    other.join();
    want.push_back(ours);
    want.push_back(theirs.job_id);
    EXPECT_TRUE(listener_.WaitFor("entry " + theirs.job_id + " http://localhost:8081"));
    EXPECT_TRUE(other_listener.WaitFor("entry " + ours + " http://localhost:8081"));
  }
  EXPECT_THAT(InFile(), testing::UnorderedElementsAreArray(want));
}

}  // namespace
}  // namespace tao::registry
