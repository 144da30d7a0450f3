// Logs of local-process jobs, through the driver and the real parent.
#include <fcntl.h>
#include <sys/stat.h>

#include <thread>

#include "server/io/file.h"
#include "tests/component/server/platforms/local_process/job_fixture.h"

namespace tao::platforms {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LocalProcessLogsTest : public LocalProcessTest {
 protected:
  std::vector<std::string> Tail(const std::string& job_id, int lines) {
    Lines sink;
    const absl::Status read =
        platform_->StreamLogs({.job_id = job_id}, {.tail_lines = lines}, sink, never_);
    EXPECT_TRUE(read.ok()) << read;
    return sink.lines;
  }
};

TEST_F(LocalProcessLogsTest, BothStreamsInTheirOrder) {
  const std::string job_id = Start("echo one; echo two >&2; echo; printf three");
  EXPECT_THAT(LinesToTheEnd(job_id), ElementsAre("one", "two", "", "three"));
  EXPECT_THAT(Tail(job_id, -1), ElementsAre("one", "two", "", "three"));
  EXPECT_THAT(Tail(job_id, 200), ElementsAre("one", "two", "", "three"));
  EXPECT_THAT(Tail(job_id, 2), ElementsAre("", "three"));
  EXPECT_THAT(Tail(job_id, 1), ElementsAre("three"));
  EXPECT_THAT(Tail(job_id, 0), IsEmpty());
}

TEST_F(LocalProcessLogsTest, TheTailOfALongLog) {
  const std::string job_id = Start("seq 1 100000");
  EXPECT_EQ(LinesToTheEnd(job_id).size(), 100000U);
  EXPECT_THAT(Tail(job_id, 3), ElementsAre("99998", "99999", "100000"));
  const std::vector<std::string> many = Tail(job_id, 50000);
  ASSERT_EQ(many.size(), 50000U);
  EXPECT_EQ(many.front(), "50001");
}

TEST_F(LocalProcessLogsTest, FollowsAsTheJobSpeaks) {
  const std::string ears = state_dir_ + "/ears";
  ASSERT_EQ(mkfifo(ears.c_str(), 0600), 0);
  const io::UniqueFd to_job(open(ears.c_str(), O_RDWR | O_CLOEXEC));
  const std::string job_id = Start("while read line; do echo heard $line; done < " + ears);
  Lines sink;
  sink.on_line = [&](const std::string&) {
    // Says the next word only when the one before was heard: each line came by itself.
    const std::string next = "word" + std::to_string(sink.lines.size()) + "\n";
    if (sink.lines.size() < 5) {
      EXPECT_EQ(write(to_job.get(), next.data(), next.size()), static_cast<ssize_t>(next.size()));
    } else {
      sink.enough = 0;
    }
  };
  ASSERT_EQ(write(to_job.get(), "word0\n", 6), 6);
  ASSERT_TRUE(
      platform_->StreamLogs({.job_id = job_id}, {.tail_lines = -1, .follow = true}, sink, never_)
          .ok());
  EXPECT_EQ(sink.lines.back(), "heard word4");
}

TEST_F(LocalProcessLogsTest, FollowsOverRotationsWithoutLosingALine) {
  LocalProcessConfig config = ConfigIn(state_dir_);
  config.max_log_bytes = 1000;
  platform_ = std::make_unique<LocalProcessPlatform>(config);
  const std::string ears = state_dir_ + "/ears";
  ASSERT_EQ(mkfifo(ears.c_str(), 0600), 0);
  const io::UniqueFd to_job(open(ears.c_str(), O_RDWR | O_CLOEXEC));
  // 20 lines of about 30 bytes, then it waits until they were read: at most one file behind.
  const std::string job_id =
      Start("exec 3<> " + ears +
            "; for i in {1..30}; do for j in {1..20}; do echo this is line number $i $j; done; "
            "read -u 3 go; done");
  Lines sink;
  sink.on_line = [&](const std::string&) {
    if (sink.lines.size() % 20 == 0) {
      EXPECT_EQ(write(to_job.get(), "go\n", 3), 3);
    }
  };
  ASSERT_TRUE(
      platform_->StreamLogs({.job_id = job_id}, {.tail_lines = -1, .follow = true}, sink, never_)
          .ok());
  ASSERT_EQ(sink.lines.size(), 600U);
  for (int i = 0; i < 600; ++i) {
    EXPECT_EQ(
        sink.lines[static_cast<size_t>(i)],
        "this is line number " + std::to_string(i / 20 + 1) + " " + std::to_string(i % 20 + 1));
  }
  // Only two files are kept, and the tail reaches over both.
  for (const char* name : {"/output.log", "/output.log.1"}) {
    EXPECT_LT(std::filesystem::file_size(FolderOf(job_id) + name), 1100U) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(FolderOf(job_id) + "/output.log.2"));
  const std::vector<std::string> tail = Tail(job_id, 36);
  ASSERT_EQ(tail.size(), 36U);
  EXPECT_EQ(tail.front(), "this is line number 29 5");
  EXPECT_EQ(tail.back(), "this is line number 30 20");
}

TEST_F(LocalProcessLogsTest, AFollowerCanLeave) {
  const std::string job_id = Start("echo up; sleep 1000");
  Lines one;
  one.enough = 1;
  EXPECT_TRUE(
      platform_->StreamLogs({.job_id = job_id}, {.tail_lines = -1, .follow = true}, one, never_)
          .ok());
  EXPECT_THAT(one.lines, ElementsAre("up"));

  base::CancelToken cancel;
  Lines all;
  std::thread canceller;
  all.on_line = [&](const std::string&) {
    canceller = std::thread([&cancel] { cancel.Cancel(); });
  };
  EXPECT_EQ(
      platform_->StreamLogs({.job_id = job_id}, {.tail_lines = -1, .follow = true}, all, cancel)
          .code(),
      absl::StatusCode::kCancelled);
  canceller.join();
}

TEST_F(LocalProcessLogsTest, AnEndlessLineComesInPieces) {
  const std::string job_id = Start("head -c 150000 /dev/zero | tr '\\0' x; echo; echo next");
  const std::vector<std::string> lines = LinesToTheEnd(job_id);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0].size(), 65536U);
  EXPECT_EQ(lines[0].size() + lines[1].size() + lines[2].size(), 150000U);
  EXPECT_EQ(lines[3], "next");
}

TEST_F(LocalProcessLogsTest, WithoutALogThereIsNone) {
  Lines sink;
  EXPECT_EQ(platform_->StreamLogs({.job_id = base::NewUuid()}, {}, sink, never_).code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tao::platforms
