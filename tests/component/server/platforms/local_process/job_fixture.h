#pragma once

// What the tests of local-process share: a state directory of their own, the real
// tao-process-parent, and small shell commands as services.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/io/file.h"
#include "server/platforms/local_process/job_folder_view.h"
#include "server/platforms/local_process/local_process_platform.h"
#include "server/registry/step.h"

namespace tao::platforms {

constexpr char kParentProgram[] = TAO_BINARY_DIR "/bin/tao-process-parent";
constexpr char kDaemonId[] = "11111111-1111-4111-8111-111111111111";

inline std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A socket of this process that listens on a free port.
class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    const bool listens = bind(fd_.get(), any, size) == 0 && listen(fd_.get(), 1) == 0 &&
                         getsockname(fd_.get(), any, &size) == 0;
    if (!listens) std::abort();
    port = ntohs(address.sin_port);
  }
  int port = 0;

 private:
  io::UniqueFd fd_;
};

inline int FreePort() { return Listener().port; }

// Both sessions; keeps what the driver asks for, in order.
class Session : public LaunchSession, public StopSession {
 public:
  explicit Session(int port = FreePort()) : ports_{port} {}

  absl::Status BeginStep(registry::Step step) override {
    calls.push_back("begin " + std::string(registry::ToString(step)));
    return begin;
  }
  absl::Status EndStep(registry::Step step) override {
    calls.push_back("end " + std::string(registry::ToString(step)));
    return end;
  }
  absl::Status SaveDriverState(const std::map<std::string, std::string>&) override {
    calls.push_back("save");
    return absl::OkStatus();
  }
  void ReportProgress(const registry::Progress&) override {}
  int host_port() const override { return ports_.front(); }
  void ReportPending(std::string_view, std::string_view) override {}
  absl::StatusOr<int> InstancePort(const std::string&, bool) override {
    return absl::InternalError("not an instance");
  }
  absl::StatusOr<int> NextPort() override {
    calls.push_back("next port");
    if (ports_.size() == 1) return absl::ResourceExhaustedError("no port is left");
    ports_.erase(ports_.begin());
    return ports_.front();
  }
  const std::vector<std::string>& gpu_ids() const override { return gpus; }
  const base::CancelToken& cancel() const override { return token; }

  std::vector<std::string> calls;
  absl::Status begin = absl::OkStatus(), end = absl::OkStatus();
  std::vector<std::string> gpus;
  base::CancelToken token;
  std::vector<int> ports_;  // the leased one, and the next ones
};

class Lines : public LogSink {
 public:
  bool OnLine(std::string_view line) override {
    lines.emplace_back(line);
    if (on_line) on_line(lines.back());
    return lines.size() < enough;
  }
  std::vector<std::string> lines;
  size_t enough = SIZE_MAX;
  std::function<void(const std::string&)> on_line;
};

// `script` is what the shell of the inner command runs after its umask.
inline launch::LaunchPlan PlanOf(const std::string& job_id, const std::string& script) {
  launch::LaunchPlan plan;
  plan.job_id = job_id;
  plan.network_arch = "test-arch";
  plan.inner_command = launch::InnerCommand({script}, std::nullopt);
  plan.env = {{"TAO_EXECUTION_BACKEND", "local-docker"}};
  plan.gpus.mode = launch::GpuMode::kNone;
  return plan;
}

inline LocalProcessConfig ConfigIn(const std::string& state_dir) {
  LocalProcessConfig config;
  config.parent_program = kParentProgram;
  config.jobs_folder = state_dir + "/jobs";
  config.daemon_id = kDaemonId;
  return config;
}

class LocalProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    state_dir_ = testing::TempDir() + "tao-local-process-XXXXXX";
    ASSERT_NE(mkdtemp(state_dir_.data()), nullptr);
    platform_ = std::make_unique<LocalProcessPlatform>(ConfigIn(state_dir_));
  }
  // Each test also proves that what it started can be ended without a trace.
  void TearDown() override {
    std::error_code no_jobs;
    for (const auto& entry : std::filesystem::directory_iterator(state_dir_ + "/jobs", no_jobs)) {
      EXPECT_TRUE(EndJob(entry.path(), absl::ZeroDuration()).ok());
    }
    EXPECT_EQ(ProcessesWith(state_dir_), 0);
    std::filesystem::remove_all(state_dir_);
  }

  std::string FolderOf(const std::string& job_id) const { return state_dir_ + "/jobs/" + job_id; }

  // Processes that have `text` in their command line: parents carry the folder, jobs the script.
  static int ProcessesWith(const std::string& text) {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      if (std::atoi(entry.path().filename().c_str()) <= 0) continue;
      if (ReadText(entry.path() / "cmdline").find(text) != std::string::npos) ++count;
    }
    return count;
  }

  // Starts `script` as a new service; its id.
  std::string Start(const std::string& script) {
    const std::string job_id = base::NewUuid();
    Session session;
    const auto job = platform_->Launch(PlanOf(job_id, script), session);
    EXPECT_TRUE(job.ok()) << job.status();
    return job_id;
  }
  // Everything it says until it ends.
  std::vector<std::string> LinesToTheEnd(const std::string& job_id) {
    Lines lines;
    const absl::Status read = platform_->StreamLogs(
        {.job_id = job_id}, {.tail_lines = -1, .follow = true}, lines, never_);
    EXPECT_TRUE(read.ok()) << read;
    return lines.lines;
  }
  // Until it has said `line`.
  void WaitForLine(const std::string& job_id, const std::string& line) {
    Lines lines;
    lines.on_line = [&](const std::string& said) {
      if (said == line) lines.enough = 0;
    };
    EXPECT_TRUE(
        platform_->StreamLogs({.job_id = job_id}, {.tail_lines = -1, .follow = true}, lines, never_)
            .ok());
    EXPECT_EQ(lines.enough, 0U) << "it ended without the line " << line;
  }
  PlatformState StateOf(const std::string& job_id) {
    const auto state = platform_->Observe({.job_id = job_id});
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? *state : PlatformState();
  }
  absl::Status Stop(const std::string& job_id, absl::Duration grace = absl::Seconds(5)) {
    Session session;
    return platform_->Stop({.job_id = job_id}, {.grace_period = grace}, session);
  }

  std::string state_dir_;
  std::unique_ptr<LocalProcessPlatform> platform_;
  const base::CancelToken never_;
};

}  // namespace tao::platforms
