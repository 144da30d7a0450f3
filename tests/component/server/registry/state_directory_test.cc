#include "server/registry/state_directory.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "server/base/uuid.h"
#include "server/registry/record_codec.h"
#include "tests/component/server/registry/killed_at_system_call.h"
#include "tests/component/server/registry/temporary_folder.h"
#include "tests/unit/server/registry/full_record.h"

namespace tao::registry {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

void WriteText(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

class StateDirectoryTest : public testing::Test {
 protected:
  std::unique_ptr<StateDirectory> Open() {
    auto opened = StateDirectory::Open(path_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  std::string RecordPath(const std::string& job_id) {
    return path_ + "/services/" + job_id + ".json";
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/a/state";
};

TEST_F(StateDirectoryTest, WhatWasSavedIsThereAfterARestart) {
  const ServiceRecord record = FullRecord();
  std::string daemon_id;
  {
    const auto state = Open();
    daemon_id = state->daemon_id();
    EXPECT_TRUE(base::IsUuid(daemon_id));
    ASSERT_TRUE(state->Save(record).ok());
  }
  const auto state = Open();
  EXPECT_EQ(state->daemon_id(), daemon_id);
  const auto loaded = state->LoadAll();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_THAT(loaded->records, SizeIs(1));
  EXPECT_EQ(loaded->records.front().job_id, record.job_id);
  EXPECT_EQ(loaded->records.front().driver_state, record.driver_state);
  EXPECT_THAT(loaded->broken, IsEmpty());
}

TEST_F(StateDirectoryTest, EverythingIsForItsOwnerAlone) {
  const auto state = Open();
  ASSERT_TRUE(state->Save(FullRecord()).ok());
  const auto job_folder = state->JobFolder(FullRecord().job_id);
  ASSERT_TRUE(job_folder.ok()) << job_folder.status();
  for (const std::string& folder : {path_, path_ + "/services", path_ + "/jobs", *job_folder}) {
    EXPECT_EQ(ModeOf(folder), 0700u) << folder;
  }
  for (const std::string& file :
       {path_ + "/lock", path_ + "/daemon-id", RecordPath(FullRecord().job_id)}) {
    EXPECT_EQ(ModeOf(file), 0600u) << file;
  }
}

TEST_F(StateDirectoryTest, SecondDaemonIsToldThePid) {
  const auto state = Open();
  const absl::Status second = StateDirectory::Open(path_).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(second), HasSubstr("pid " + std::to_string(getpid())));
}

TEST_F(StateDirectoryTest, LockGoesWithTheDaemon) {
  Open().reset();
  EXPECT_NE(Open(), nullptr);
}

TEST_F(StateDirectoryTest, SymlinkIsRefused) {
  fs::create_directories(folder_.path() + "/real");
  fs::create_directory_symlink(folder_.path() + "/real", folder_.path() + "/link");
  const absl::Status status = StateDirectory::Open(folder_.path() + "/link").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("symbolic link"));
}

TEST_F(StateDirectoryTest, FolderThatOthersMayWriteToIsRefused) {
  fs::create_directories(path_);
  ASSERT_EQ(chmod(path_.c_str(), 0770), 0);
  const absl::Status status = StateDirectory::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("chmod 700 " + path_));
}

TEST_F(StateDirectoryTest, FolderThatOthersMayReadIsClosed) {
  fs::create_directories(path_);
  ASSERT_EQ(chmod(path_.c_str(), 0755), 0);
  const auto state = Open();
  EXPECT_EQ(ModeOf(path_), 0700u);
}

TEST_F(StateDirectoryTest, FolderOfAnotherUserIsRefused) {
  // Root gives one away; everybody else finds one of root's.
  std::string path = "/usr";
  if (geteuid() == 0) {
    path = path_;
    fs::create_directories(path);
    ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
  }
  const absl::Status status = StateDirectory::Open(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("belongs to user id"));
}

TEST_F(StateDirectoryTest, RemoveTakesTheJobFolderToo) {
  const auto state = Open();
  const std::string job_id = FullRecord().job_id;
  ASSERT_TRUE(state->Save(FullRecord()).ok());
  const auto job_folder = state->JobFolder(job_id);
  ASSERT_TRUE(job_folder.ok());
  WriteText(*job_folder + "/log", "line");
  EXPECT_TRUE(state->Remove(job_id).ok());
  EXPECT_FALSE(fs::exists(*job_folder));
  EXPECT_THAT(state->LoadAll()->records, IsEmpty());
  EXPECT_TRUE(state->Remove(job_id).ok()) << "gone already";
}

TEST_F(StateDirectoryTest, JobIdIsNeverAPath) {
  const auto state = Open();
  ServiceRecord record = FullRecord();
  record.job_id = "../../etc/passwd";
  EXPECT_EQ(state->Save(record).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(state->JobFolder("..").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(state->Remove("").code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(StateDirectoryTest, BrokenRecordIsKeptAsideAndTheOthersAreLoaded) {
  const std::string broken_id = base::NewUuid();
  const auto state = Open();
  ASSERT_TRUE(state->Save(FullRecord()).ok());
  WriteText(RecordPath(broken_id), "{\"schema\": 1, ");
  auto loaded = state->LoadAll();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->records, SizeIs(1));
  const std::string kept = RecordPath(broken_id) + ".broken";
  EXPECT_THAT(loaded->broken, ElementsAre(HasSubstr(kept + ": not a service record")));
  EXPECT_TRUE(fs::exists(kept));
  EXPECT_THAT(loaded->set_aside, ElementsAre(Pair(broken_id, kept)));

  // The next daemon knows of it as well.
  loaded = state->LoadAll();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->broken, IsEmpty());
  EXPECT_THAT(loaded->set_aside, ElementsAre(Pair(broken_id, kept)));

  // A second one of the same name does not write over the first.
  WriteText(RecordPath(broken_id), "[]");
  loaded = state->LoadAll();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->broken, ElementsAre(HasSubstr(kept + "-2: ")));

  // Once its record is whole again, nothing is set aside.
  ServiceRecord repaired = FullRecord();
  repaired.job_id = broken_id;
  ASSERT_TRUE(state->Save(repaired).ok());
  loaded = state->LoadAll();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->set_aside, IsEmpty());
}

TEST_F(StateDirectoryTest, RecordUnderAnotherNameIsBroken) {
  const std::string other_id = base::NewUuid();
  const auto state = Open();
  ASSERT_TRUE(state->Save(FullRecord()).ok());
  fs::copy_file(RecordPath(FullRecord().job_id), RecordPath(other_id));
  const auto loaded = state->LoadAll();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->records, SizeIs(1));
  EXPECT_THAT(loaded->broken, ElementsAre(HasSubstr(other_id)));
}

TEST_F(StateDirectoryTest, RecordOfANewerProgramStopsTheLoading) {
  const auto state = Open();
  const std::string path = RecordPath(base::NewUuid());
  WriteText(path, "{\"schema\": 99}");
  const absl::Status status = state->LoadAll().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr(path));
  EXPECT_TRUE(fs::exists(path)) << "it is not kept aside: it is whole";
}

TEST_F(StateDirectoryTest, TemporaryFilesOfAKilledWriterAreRemoved) {
  Open().reset();
  const std::string left = RecordPath(FullRecord().job_id) + ".tmp-a1b2c3";
  WriteText(left, "half");
  WriteText(path_ + "/daemon-id.tmp-a1b2c3", "half");
  const auto state = Open();
  EXPECT_FALSE(fs::exists(left));
  EXPECT_FALSE(fs::exists(path_ + "/daemon-id.tmp-a1b2c3"));
}

TEST_F(StateDirectoryTest, DaemonIdThatIsNoneIsAnError) {
  Open().reset();
  WriteText(path_ + "/daemon-id", "me\n");
  const absl::Status status = StateDirectory::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("\"me\""));
}

TEST_F(StateDirectoryTest, SigkillAtEverySystemCallOfSaveLeavesAWholeRecord) {
  ServiceRecord old_record = FullRecord(), new_record = FullRecord();
  old_record.host_port = 1;
  new_record.host_port = 2;
  new_record.last_log_lines.assign(200, std::string(100, 'x'));
  int stop = 0, survived = 0, old_ones = 0, new_ones = 0;
  while (true) {
    ASSERT_TRUE(Open()->Save(old_record).ok());
    std::unique_ptr<StateDirectory> state;
    const bool killed = KilledAtSystemCall(
        stop, [&] { return (state = Open()) != nullptr; },
        [&] { return state->Save(new_record).ok(); });
    // Not every run has as many system calls (allocators): a few that were let through are the end.
    if (!killed && ++survived == 5) break;
    const auto loaded = Open()->LoadAll();
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_THAT(loaded->broken, IsEmpty());
    ASSERT_THAT(loaded->records, SizeIs(1));
    const ServiceRecord& found = loaded->records.front();
    // The old one or the new one, whole.
    const bool is_new = found.host_port == 2;
    EXPECT_TRUE(PrintRecord(found) == PrintRecord(is_new ? new_record : old_record)) << stop;
    ++(is_new ? new_ones : old_ones);
    EXPECT_THAT(NamesIn(path_ + "/services"), ElementsAre(new_record.job_id + ".json")) << stop;
    ++stop;
  }
  EXPECT_GT(old_ones, 5) << "a Save has more system calls than that before its rename";
  EXPECT_GT(new_ones, 1) << "and after it";
}

}  // namespace
}  // namespace tao::registry
