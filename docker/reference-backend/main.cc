// The reference backend: a stand-in for the inference containers of the three archs that keeps
// their contract on the command line and on HTTP, and can be told to misbehave (behaviour.h). See
// README.md.

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "docker/reference-backend/activity.h"
#include "docker/reference-backend/behaviour.h"
#include "docker/reference-backend/command_line.h"
#include "docker/reference-backend/exchange_log.h"
#include "docker/reference-backend/handler.h"
#include "docker/reference-backend/job_payload.h"
#include "docker/reference-backend/server.h"
#include "docker/reference-backend/supervise.h"

namespace tao::reference_backend {
namespace {

int Exit(const EarlyExit& exit) {
  std::fputs(exit.text.c_str(), exit.status == 0 ? stdout : stderr);
  return exit.status;
}

Environment EnvironmentOf(char** entries) {
  Environment environment;
  for (; *entries != nullptr; ++entries) {
    const std::string entry = *entries;
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    environment.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return environment;
}

// As Werkzeug says it.
int BindFailure(uint16_t port, int error) {
  if (error == EADDRINUSE) {
    std::fprintf(stderr,
                 "Address already in use\n"
                 "Port %d is in use by another program. Either identify and stop that program, or "
                 "start the server with a different port.\n",
                 port);
  } else {
    std::fprintf(stderr, "cannot listen on 0.0.0.0:%d: %s\n", port, std::strerror(error));
  }
  return 1;
}

void PrintBanner(uint16_t port) {
  std::printf(
      " * Serving Flask app 'reference-backend'\n"
      " * Debug mode: off\n"
      " * Running on all addresses (0.0.0.0)\n"
      " * Running on http://127.0.0.1:%d\n",
      port);
  std::fflush(stdout);
}

// Ends the process with 0 a second from now, unless it is destroyed before. A thread that writes to
// stderr waits for ever when nobody reads there, and the end must not wait for it.
class EndWithinASecond {
 public:
  EndWithinASecond() : thread_([this] { WaitOrEnd(); }) {}
  ~EndWithinASecond() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void WaitOrEnd() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(1), [this] { return ended_; })) ::_exit(0);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::thread thread_;  // last: it uses the others
};

bool WritePidFile(const std::string& path) {
  if (path.empty()) return true;
  std::ofstream file(path);
  file << ::getpid() << "\n";
  file.close();
  if (file) return true;
  std::fprintf(stderr, "cannot write the pid file %s: %s\n", path.c_str(), std::strerror(errno));
  return false;
}

int Main(const std::vector<std::string>& words, const Environment& environment) {
  // Before any thread, so that all of them leave the signals to the main one. Blocked signals also
  // reach a process 1, for which the kernel ignores those with a default action.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  const auto parsed_line = ParseCommandLine(words);
  if (const auto* exit = std::get_if<EarlyExit>(&parsed_line)) return Exit(*exit);
  auto line = std::get<CommandLine>(parsed_line);
  const auto parsed_behaviour = ParseBehaviour(environment);
  if (const auto* exit = std::get_if<EarlyExit>(&parsed_behaviour)) return Exit(*exit);
  const auto& behaviour = std::get<Behaviour>(parsed_behaviour);
  for (const auto& [name, value] : environment) {
    if (TurnsOnCallbacks(name)) return Exit({2, "error: " + name + " must never be set\n"});
    if (name == "TAO_API_JOB_ID" && line.job_id.empty()) line.job_id = value;
  }

  const auto log = ExchangeLog::Open(behaviour.log_path);
  if (log == nullptr) {
    return Exit(
        {2, "cannot open the log " + behaviour.log_path + ": " + std::strerror(errno) + "\n"});
  }
  Activity activity;
  Handler handler(behaviour, line, activity, *log);
  Server server;  // uses the two above until it is gone
  const uint16_t port = behaviour.port.value_or(line.port);
  if (const auto error = server.Listen(port)) return BindFailure(port, *error);
  if (!WritePidFile(line.pid_file)) return 1;
  log->Introduce(line.job_id, server.port());
  PrintBanner(server.port());

  server.Start(handler);
  Supervise(behaviour, line, activity, *log, signals);
  const EndWithinASecond limit;
  if (!line.pid_file.empty()) ::unlink(line.pid_file.c_str());
  server.Stop();
  std::fflush(nullptr);
  return 0;
}

}  // namespace
}  // namespace tao::reference_backend

int main(int argc, char** argv) {
  return tao::reference_backend::Main({argv, argv + argc},
                                      tao::reference_backend::EnvironmentOf(environ));
}
