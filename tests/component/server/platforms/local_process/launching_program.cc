// A stand-in for the daemon, to be killed: launching_program STATE_DIR JOB_ID SCRIPT WHERE
// launches one job. WHERE is where it kills itself: "begin" or "end" (of the step kSpawnProcess),
// or "never": then it prints a line and waits.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string_view>

#include "tests/component/server/platforms/local_process/job_fixture.h"

namespace {

class DoomedSession : public tao::platforms::Session {
 public:
  explicit DoomedSession(std::string_view where) : where_(where) {}
  absl::Status BeginStep(tao::registry::Step) override { return DieAt("begin"); }
  absl::Status EndStep(tao::registry::Step) override { return DieAt("end"); }

 private:
  absl::Status DieAt(std::string_view point) const {
    if (where_ == point) raise(SIGKILL);
    return absl::OkStatus();
  }
  const std::string_view where_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  tao::platforms::LocalProcessPlatform platform(tao::platforms::ConfigIn(argv[1]));
  DoomedSession session(argv[4]);
  const auto job = platform.Launch(tao::platforms::PlanOf(argv[2], argv[3]), session);
  std::puts(job.ok() ? "launched" : "failed");
  std::fflush(stdout);
  pause();
}
