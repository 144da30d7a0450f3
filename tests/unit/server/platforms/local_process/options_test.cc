#include "server/platforms/local_process/parent/options.h"

#include <gtest/gtest.h>

namespace tao::process_parent {
namespace {

std::optional<Options> Parse(const std::vector<const char*>& words, std::string& error) {
  std::vector<const char*> argv = {"tao-process-parent"};
  argv.insert(argv.end(), words.begin(), words.end());
  return ParseOptions(static_cast<int>(argv.size()), argv.data(), error);
}

TEST(ParentOptionsTest, ReadsAllOfThem) {
  std::string error;
  const auto options = Parse({"--folder",
                              "/jobs/j",
                              "--job-id",
                              "j-1",
                              "--daemon-id",
                              "d-1",
                              "--port",
                              "8081",
                              "--grace-ms",
                              "5",
                              "--max-log-bytes",
                              "1000",
                              "--secret",
                              "A",
                              "--secret",
                              "B",
                              "--",
                              "/bin/bash",
                              "-c",
                              "--port 0"},
                             error);
  ASSERT_TRUE(options.has_value()) << error;
  EXPECT_EQ(options->folder, "/jobs/j");
  EXPECT_EQ(options->port, 8081);
  EXPECT_EQ(options->grace_ms, 5);
  EXPECT_EQ(options->max_log_bytes, 1000);
  EXPECT_EQ(options->secret_names, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(options->command, (std::vector<std::string>{"/bin/bash", "-c", "--port 0"}));
}

TEST(ParentOptionsTest, RefusesWhatItDoesNotUnderstandWhole) {
  const std::vector<std::vector<const char*>> wrong = {
      {},
      {"--folder", "/j", "--job-id", "j", "--daemon-id", "d", "--port", "8081"},
      {"--folder", "/j", "--job-id", "j", "--daemon-id", "d", "--port", "8081", "--"},
      {"--folder", "/j", "--job-id", "j", "--daemon-id", "d", "--", "x"},
      {"--folder", "j", "--job-id", "j", "--daemon-id", "d", "--port", "8081", "--", "x"},
      {"--folder", "/j", "--job-id", "\"", "--daemon-id", "d", "--port", "8081", "--", "x"},
      {"--folder", "/j", "--job-id", "j", "--daemon-id", "d", "--port", "0", "--", "x"},
      {"--folder", "/j", "--job-id", "j", "--daemon-id", "d", "--port", "80x", "--", "x"},
      {"--folder", "/j", "--job-id", "j", "--daemon-id", "d", "--port", "80", "--x", "y", "--",
       "x"},
      {"--folder", "/j", "--job-id", "j", "--daemon-id", "d", "--port"},
  };
  for (const auto& words : wrong) {
    std::string error;
    EXPECT_FALSE(Parse(words, error).has_value());
    EXPECT_FALSE(error.empty());
  }
}

}  // namespace
}  // namespace tao::process_parent
