#include "server/registry/registry_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/component/server/registry/killed_at_system_call.h"
#include "tests/component/server/registry/temporary_folder.h"

namespace tao::registry {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string ReadText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void WriteText(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// Adds one member to whatever the file holds.
RegistryFile::Decide Add(const std::string& name) {
  return [name](const RegistryFile::Reading& reading) -> std::optional<FileContent> {
    FileContent content = reading.content;
    content.members.push_back(MakeMember(name, "{}"));
    return content;
  };
}

class RegistryFileTest : public testing::Test {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  // The names of the file's members.
  std::vector<std::string> Members() const {
    std::vector<std::string> names;
    const auto reading = file_.Read();
    EXPECT_TRUE(reading.ok()) << reading.status();
    if (!reading.ok()) return names;
    for (const RawMember& member : reading->content.members) names.push_back(member.name);
    return names;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/state.json";
  const RegistryFile file_{path_};
};

TEST_F(RegistryFileTest, FileAndLockAreForTheirOwnerAlone) {
  ASSERT_TRUE(file_.Change(Add("a")).ok());
  EXPECT_EQ(ReadText(path_), "{\n  \"a\": {}\n}\n");
  EXPECT_THAT(Names(), ElementsAre("state.json", "state.json.lock"));
  for (const char* const suffix : {"", ".lock"}) {
    struct stat info = {};
    ASSERT_EQ(lstat((path_ + suffix).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u) << suffix;
  }
}

TEST_F(RegistryFileTest, NothingToWriteWritesNothing) {
  const auto nothing = [](const RegistryFile::Reading& reading) -> std::optional<FileContent> {
    EXPECT_TRUE(reading.missing);
    return std::nullopt;
  };
  EXPECT_TRUE(file_.Change(nothing).ok());
  EXPECT_THAT(Names(), ElementsAre("state.json.lock"));
}

TEST_F(RegistryFileTest, EmptyFileIsAMissingOne) {
  WriteText(path_, " \n");
  EXPECT_TRUE(file_.Read()->missing);
  ASSERT_TRUE(file_.Change(Add("a")).ok());
  EXPECT_THAT(Names(), ElementsAre("state.json", "state.json.lock"));
}

TEST_F(RegistryFileTest, EmptyObjectIsNotMissing) {
  WriteText(path_, "{}");
  EXPECT_FALSE(file_.Read()->missing);
}

TEST_F(RegistryFileTest, SymlinkIsRefused) {
  WriteText(folder_.path() + "/victim", "{}");
  fs::create_symlink(folder_.path() + "/victim", path_);
  EXPECT_EQ(file_.Read().status().code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status status = file_.Change(Add("a"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("symbolic link"));
  EXPECT_EQ(ReadText(folder_.path() + "/victim"), "{}");
}

TEST_F(RegistryFileTest, DanglingSymlinkIsRefused) {
  fs::create_symlink(folder_.path() + "/nothing", path_);
  EXPECT_EQ(file_.Change(Add("a")).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(fs::exists(folder_.path() + "/nothing"));
}

TEST_F(RegistryFileTest, SymlinkForALockIsRefused) {
  WriteText(folder_.path() + "/victim", "");
  fs::create_symlink(folder_.path() + "/victim", path_ + ".lock");
  const absl::Status status = file_.Change(Add("a"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("symbolic link"));
}

TEST_F(RegistryFileTest, FileOrLockOfAnotherUserIsRefused) {
  // Root gives them away; everybody else finds a file of root's.
  if (geteuid() != 0) {
    EXPECT_EQ(RegistryFile("/etc/passwd").Read().status().code(),
              absl::StatusCode::kFailedPrecondition);
    return;
  }
  WriteText(path_, "{}");
  ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
  EXPECT_EQ(file_.Read().status().code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status status = file_.Change(Add("a"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("user id 65534"));
  fs::remove(path_);
  ASSERT_EQ(chown((path_ + ".lock").c_str(), 65534, 65534), 0);
  EXPECT_THAT(MessageOf(file_.Change(Add("a"))), HasSubstr(path_ + ".lock"));
}

TEST_F(RegistryFileTest, FolderInPlaceOfTheFileIsRefused) {
  fs::create_directories(path_);
  EXPECT_EQ(file_.Change(Add("a")).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RegistryFileTest, BrokenFileIsKeptAside) {
  WriteText(path_, "{\"x\": {");
  EXPECT_EQ(file_.Read().status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(file_.Change(Add("a")).ok());
  EXPECT_THAT(Members(), ElementsAre("a"));
  ASSERT_THAT(Names(),
              ElementsAre("state.json", HasSubstr("state.json.broken-2"), "state.json.lock"));
  EXPECT_EQ(ReadText(folder_.path() + "/" + Names()[1]), "{\"x\": {");
}

TEST_F(RegistryFileTest, WhatAnotherToolWroteMeanwhileIsNotLost) {
  int calls = 0;
  const auto decide = [&](const RegistryFile::Reading& reading) {
    // A tool without our lock renames its own file in, between our read and our rename.
    if (++calls == 1) {
      WriteText(path_ + ".theirs", "{\"theirs\": {}}");
      fs::rename(path_ + ".theirs", path_);
    }
    return Add("ours")(reading);
  };
  ASSERT_TRUE(file_.Change(decide).ok());
  EXPECT_EQ(calls, 2);
  EXPECT_THAT(Members(), ElementsAre("theirs", "ours"));
}

TEST_F(RegistryFileTest, ToolThatNeverStopsWritingIsToldOf) {
  int calls = 0;
  const auto decide = [&](const RegistryFile::Reading& reading) {
    WriteText(path_, "{\"n\": " + std::to_string(++calls) + "}");
    return Add("ours")(reading);
  };
  EXPECT_EQ(file_.Change(decide).code(), absl::StatusCode::kAborted);
  EXPECT_THAT(Members(), ElementsAre("n"));
  EXPECT_THAT(Names(), ElementsAre("state.json", "state.json.lock")) << "no temporary file is left";
}

TEST_F(RegistryFileTest, LockThatIsHeldForTooLongIsAnError) {
  const io::UniqueFd holder(open((path_ + ".lock").c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(flock(holder.get(), LOCK_EX), 0);
  const absl::Status status = RegistryFile(path_, absl::Milliseconds(20)).Change(Add("a"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(status), HasSubstr(path_ + ".lock"));
}

TEST_F(RegistryFileTest, LockFileThatWasRemovedLocksNobodyOut) {
  const io::UniqueFd holder(open((path_ + ".lock").c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(flock(holder.get(), LOCK_EX), 0);
  fs::remove(path_ + ".lock");  // a cleaner of /tmp
  EXPECT_TRUE(RegistryFile(path_, absl::Milliseconds(20)).Change(Add("a")).ok());
}

TEST_F(RegistryFileTest, ProcessesThatWriteAtOnceLoseNothing) {
  constexpr int kProcesses = 4, kChanges = 15;
  std::vector<pid_t> children;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int n = 0; n < kChanges; ++n) {
        const std::string name = std::to_string(p) + "-" + std::to_string(n);
        if (!file_.Change(Add(name)).ok()) _exit(1);
      }
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  EXPECT_THAT(Members(), testing::SizeIs(kProcesses * kChanges));
  EXPECT_THAT(Names(), ElementsAre("state.json", "state.json.lock"));
}

TEST_F(RegistryFileTest, SigkillAtEverySystemCallLeavesAWholeFile) {
  ASSERT_TRUE(file_.Change(Add("old")).ok());
  const std::string before = ReadText(path_);
  int stop = 0, survived = 0, old_ones = 0, new_ones = 0;
  while (true) {
    WriteText(path_ + ".theirs", before);
    fs::rename(path_ + ".theirs", path_);
    const bool killed = KilledAtSystemCall(
        stop, [] { return true; }, [&] { return file_.Change(Add("new")).ok(); });
    // Not every run has as many system calls (allocators): a few that were let through are the end.
    if (!killed && ++survived == 5) break;
    const std::vector<std::string> members = Members();
    const bool is_new = members.size() == 2;
    EXPECT_EQ(members,
              is_new ? (std::vector<std::string>{"old", "new"}) : (std::vector<std::string>{"old"}))
        << stop;
    ++(is_new ? new_ones : old_ones);
    // The lock went with the process, and what it left is no hindrance.
    ASSERT_TRUE(file_.Change(Add("next")).ok()) << stop;
    EXPECT_THAT(Names(), ElementsAre("state.json", "state.json.lock")) << stop;
    ++stop;
  }
  EXPECT_GT(old_ones, 10) << "a change has more system calls than that before its rename";
  EXPECT_GT(new_ones, 1) << "and after it";
}

TEST_F(RegistryFileTest, RelativePathIsInTheWorkingFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  EXPECT_TRUE(RegistryFile("state.json").Change(Add("a")).ok());
  fs::current_path(before);
  EXPECT_THAT(Members(), ElementsAre("a"));
}

TEST_F(RegistryFileTest, NoSuchFolderSaysSo) {
  const absl::Status status = RegistryFile(folder_.path() + "/no/state.json").Change(Add("a"));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf(status), HasSubstr("/no/state.json.lock"));
  EXPECT_THAT(Names(), IsEmpty());
}

}  // namespace
}  // namespace tao::registry
