#include "server/platforms/local_process/parent/log_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tao::process_parent {
namespace {

class LogFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "tao-log-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    fd_ = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  void TearDown() override {
    close(fd_);
    std::filesystem::remove_all(folder_);
  }
  std::string Text(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::string folder_;
  int fd_ = -1;
};

TEST_F(LogFileTest, IsExchangedBetweenLinesAndTwoAreKept) {
  LogFile log(fd_, 10);
  ASSERT_TRUE(log.Open());
  log.Append("aaaa\nbbbb\n");
  EXPECT_EQ(Text("output.log"), "aaaa\nbbbb\n");
  log.Append("c");
  EXPECT_EQ(Text("output.log"), "c");
  EXPECT_EQ(Text("output.log.1"), "aaaa\nbbbb\n");
  log.Append("ccccccccccccccc\nd\n");  // a line that is longer than the file may be stays whole
  EXPECT_EQ(Text("output.log"), "d\n");
  EXPECT_EQ(Text("output.log.1"), "cccccccccccccccc\n");
}

TEST_F(LogFileTest, OneAppendMayFillManyFiles) {
  LogFile log(fd_, 4);
  ASSERT_TRUE(log.Open());
  log.Append("one\ntwo\nthree\nfour\n");
  EXPECT_EQ(Text("output.log.1"), "three\n");
  EXPECT_EQ(Text("output.log"), "four\n");
}

TEST_F(LogFileTest, AnEndlessLineIsCutAfterAMebibyte) {
  LogFile log(fd_, 10);
  ASSERT_TRUE(log.Open());
  for (int i = 0; i < 40; ++i) log.Append(std::string(64 << 10, 'x'));
  EXPECT_LE(Text("output.log").size(), size_t{2} << 20);
  EXPECT_LE(Text("output.log.1").size(), size_t{2} << 20);
}

TEST_F(LogFileTest, GoesOnInAFileThatIsThere) {
  {
    LogFile log(fd_, 100);
    ASSERT_TRUE(log.Open());
    log.Append("one\n");
  }
  LogFile log(fd_, 100);
  ASSERT_TRUE(log.Open());
  log.Append("two\n");
  EXPECT_EQ(Text("output.log"), "one\ntwo\n");
}

TEST_F(LogFileTest, WhatCouldNotBeWrittenIsSaidWhenItCanBeAgain) {
  LogFile log(fd_, 1000);
  ASSERT_TRUE(log.Open());
  log.Append("one\n");
  // A limit on the size of files stands for a full disk.
  ASSERT_NE(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit full = {.rlim_cur = 4, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  log.Append("two\n");
  log.Append("three\n");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  log.Append("four\n");
  EXPECT_EQ(Text("output.log"),
            "one\n[tao-process-parent: 10 bytes of output are missing here: they could not be "
            "written]\nfour\n");
}

}  // namespace
}  // namespace tao::process_parent
