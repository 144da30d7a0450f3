#include "server/io/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "server/base/strings.h"

namespace tao::io {
namespace {

using testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "tao-file-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string At(const std::string& name) const { return folder_ + "/" + name; }
  // Names in the folder: what a failed call may not leave behind.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
  static std::string Message(const absl::Status& status) {
    return std::string(base::ToStd(status.message()));
  }

  std::string folder_;
};

TEST_F(FileTest, ReplacesContentAndModeAndLeavesNothingElse) {
  ASSERT_TRUE(ReplaceFile(At("a"), "one").ok());
  ASSERT_TRUE(ReplaceFile(At("a"), std::string("t\0wo", 4), 0640).ok());
  EXPECT_EQ(*ReadOwnFile(At("a")), std::string("t\0wo", 4));
  struct stat info = {};
  ASSERT_EQ(stat(At("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
  EXPECT_THAT(Names(), testing::ElementsAre("a"));
}

TEST_F(FileTest, ReadsWhatIsThereWhateverItsSize) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{1} << 20}) {
    ASSERT_TRUE(ReplaceFile(At("a"), std::string(size, 'x')).ok());
    EXPECT_EQ(ReadOwnFile(At("a"))->size(), size);
    EXPECT_EQ(ReadOwnFile(At("a"), size)->size(), size);
  }
}

TEST_F(FileTest, FilesOfTheProcFileSystemHaveNoSizeAndAreReadWhole) {
  EXPECT_THAT(*ReadOwnFile("/proc/self/status"), HasSubstr("voluntary_ctxt_switches"));
}

TEST_F(FileTest, TooLargeIsRefusedWithTheLimit) {
  ASSERT_TRUE(ReplaceFile(At("a"), "123456").ok());
  const absl::Status status = ReadOwnFile(At("a"), 5).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("larger than 5 bytes"));
}

TEST_F(FileTest, MissingIsNotFound) {
  EXPECT_EQ(ReadOwnFile(At("a")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReplaceFile(At("no/folder"), "x").code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, SymlinksAreNeitherReadNorReplaced) {
  ASSERT_TRUE(ReplaceFile(At("target"), "kept").ok());
  ASSERT_EQ(symlink(At("target").c_str(), At("link").c_str()), 0);
  const absl::Status read = ReadOwnFile(At("link")).status();
  EXPECT_EQ(read.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(read), HasSubstr(At("link") + " is a symbolic link"));
  EXPECT_EQ(ReplaceFile(At("link"), "x").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(*ReadOwnFile(At("target")), "kept");
}

TEST_F(FileTest, WhatIsNoRegularFileIsRefusedWithoutBlocking) {
  ASSERT_EQ(mkfifo(At("fifo").c_str(), 0600), 0);
  ASSERT_EQ(mkdir(At("folder").c_str(), 0700), 0);
  for (const char* name : {"fifo", "folder"}) {
    EXPECT_EQ(ReadOwnFile(At(name)).status().code(), absl::StatusCode::kFailedPrecondition) << name;
    EXPECT_EQ(ReplaceFile(At(name), "x").code(), absl::StatusCode::kFailedPrecondition) << name;
  }
}

TEST_F(FileTest, AnotherUsersFileIsRefused) {
  if (geteuid() == 0) {
    ASSERT_TRUE(ReplaceFile(At("a"), "theirs").ok());
    ASSERT_EQ(chown(At("a").c_str(), 65534, 65534), 0);
    EXPECT_EQ(ReplaceFile(At("a"), "x").code(), absl::StatusCode::kFailedPrecondition);
    const absl::Status status = ReadOwnFile(At("a")).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(Message(status), HasSubstr("belongs to user id 65534"));
  } else {
    EXPECT_EQ(ReadOwnFile("/etc/passwd").status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST_F(FileTest, MakesFoldersWithTheirParents) {
  ASSERT_TRUE(MakeFolder(At("a/b/c/")).ok());
  ASSERT_TRUE(MakeFolder(At("a/b/c")).ok());  // again
  struct stat info = {};
  ASSERT_EQ(stat(At("a/b/c").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
}

TEST_F(FileTest, AFolderMustBeAFolderOfOursAndNoSymlink) {
  ASSERT_TRUE(ReplaceFile(At("file"), "x").ok());
  ASSERT_TRUE(MakeFolder(At("target")).ok());
  ASSERT_EQ(symlink(At("target").c_str(), At("link").c_str()), 0);
  EXPECT_EQ(MakeFolder(At("file")).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(MakeFolder(At("link/")).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(MakeFolder(At("link/inside")).ok());  // a parent may be one: /home often is
  EXPECT_EQ(MakeFolder(At("file/inside")).code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, UniqueFdClosesOnceAndMoves) {
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);
  UniqueFd moved(std::move(writer));
  EXPECT_FALSE(writer.valid());  // NOLINT: a moved-from UniqueFd is empty
  moved = UniqueFd();
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 0);  // the end of file: the only writer is closed
}

}  // namespace
}  // namespace tao::io
