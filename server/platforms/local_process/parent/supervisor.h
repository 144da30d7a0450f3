#pragma once

// The parent proper: starts the command, keeps its output, ends it when told to, and writes how it
// ended. Single thread.

#include <sys/types.h>

#include <string>

#include "server/platforms/local_process/parent/job_folder.h"
#include "server/platforms/local_process/parent/log_file.h"
#include "server/platforms/local_process/parent/options.h"
#include "server/platforms/local_process/parent/secret_filter.h"

namespace tao::process_parent {

class Supervisor {
 public:
  // All must outlive it. The lock is held already, and this process leads its session.
  Supervisor(const Options& options, const JobFolder& folder);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor();

  // False, with the reason in `error`, when the command cannot be started. Nothing is left then.
  bool Start(std::string& error);

  // Until nothing of the job runs any more; exit.json is written then.
  void Run();

 private:
  // What goes on. It moves downwards only.
  enum class Stage {
    kRunning,
    kEnding,   // SIGTERM was sent; SIGKILL comes at deadline_ms_
    kKilling,  // SIGKILL was sent, and is sent to whoever shows up
  };

  void OnSignals();
  void OnOutput();
  // The command itself has ended, or somebody it left behind has.
  void OnChildren();
  void BeginEnding(int grace_ms);
  void KillAll();
  int PollTimeoutMs() const;

  const Options& options_;
  const JobFolder& folder_;
  LogFile log_;
  SecretFilter secrets_;
  int signal_fd_ = -1;
  int output_fd_ = -1;  // -1: the command and all that it started closed it
  pid_t child_ =
      -1;  // leads its group. Not reaped before the end, so that its number stays its own
  bool child_ended_ = false;
  bool stopped_ = false;  // we were told to end it
  Stage stage_ = Stage::kRunning;
  long long deadline_ms_ = 0;  // of kEnding, CLOCK_MONOTONIC
};

}  // namespace tao::process_parent
