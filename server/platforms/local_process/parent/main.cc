// tao-process-parent: runs one service of the local-process platform, and outlives the daemon that
// started it. See protocol.h for what it leaves in the job's folder.
//
//   tao-process-parent --folder DIR --job-id ID --daemon-id ID --port N [--grace-ms N]
//                      [--max-log-bytes N] [--secret NAME]... -- COMMAND [ARGUMENT ...]
//
// --secret names a variable of the environment whose value is taken out of what the command prints.
//
// The program that is called (the starter) forks the parent, which leaves for a session of its own,
// and waits for its word: the exit code is a StarterExit. If the starter dies before it has the
// word (it dies with the daemon), the parent does not start the command.

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "server/platforms/local_process/parent/job_folder.h"
#include "server/platforms/local_process/parent/options.h"
#include "server/platforms/local_process/parent/protocol.h"
#include "server/platforms/local_process/parent/supervisor.h"

namespace tao::process_parent {
namespace {

// From parent to starter: one byte that is a StarterExit, then the text for stderr, then the end.
void Tell(int fd, StarterExit exit, const std::string& text) {
  std::string message(1, static_cast<char>(exit));
  message += text;
  const char* data = message.data();
  size_t left = message.size();
  while (left > 0) {
    const ssize_t written = write(fd, data, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;  // the starter is gone
    data += written;
    left -= static_cast<size_t>(written);
  }
  close(fd);
}

bool ReaderIsGone(int fd) {
  pollfd polled = {.fd = fd, .events = 0, .revents = 0};
  return poll(&polled, 1, 0) == 1 && (polled.revents & POLLERR) != 0;
}

void LeaveStdioAndSession() {
  setsid();
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
  if (null > 2) close(null);
}

int RunParent(const Options& options, int starter) {
  signal(SIGPIPE, SIG_IGN);
  LeaveStdioAndSession();
  JobFolder folder;
  if (!folder.Open(options.folder) || chdir(options.folder.c_str()) != 0) {
    Tell(starter, kFailed, "cannot open the folder " + options.folder + ": " + strerror(errno));
    return 1;
  }
  switch (folder.TakeLock()) {
    case JobFolder::Lock::kMine:
      break;
    case JobFolder::Lock::kTaken:
      Tell(starter, kTaken, "");
      return 1;
    case JobFolder::Lock::kError:
      Tell(starter, kFailed, "cannot lock " + options.folder + ": " + strerror(errno));
      return 1;
  }
  if (folder.HasEnded()) {
    Tell(starter, kEnded, "");
    return 1;
  }
  if (!folder.WriteParentFile(options, std::nullopt)) {
    Tell(starter, kFailed, "cannot write to " + options.folder + ": " + strerror(errno));
    return 1;
  }
  Supervisor supervisor(options, folder);
  std::string error;
  if (ReaderIsGone(starter) || !supervisor.Start(error)) {
    folder.RemoveParentFile();
    Tell(starter, kFailed, error);
    return 1;
  }
  Tell(starter, kRunning, "");
  supervisor.Run();
  return 0;
}

int RunStarter(int parent) {
  std::string message;
  char buffer[1024];
  while (true) {
    const ssize_t got = read(parent, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    message.append(buffer, static_cast<size_t>(got));
  }
  if (message.empty()) {
    std::fprintf(stderr, "the parent process ended before it could start the command\n");
    return kFailed;
  }
  if (message.size() > 1) std::fprintf(stderr, "%s\n", message.c_str() + 1);
  return message[0];
}

int Main(int argc, char** argv) {
  std::string error;
  const std::optional<Options> options = ParseOptions(argc, argv, error);
  if (!options.has_value()) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return kUsage;
  }
  int word[2];
  if (pipe2(word, O_CLOEXEC) != 0) {
    std::fprintf(stderr, "cannot make a pipe: %s\n", strerror(errno));
    return kFailed;
  }
  const pid_t parent = fork();
  if (parent < 0) {
    std::fprintf(stderr, "cannot fork: %s\n", strerror(errno));
    return kFailed;
  }
  if (parent == 0) {
    close(word[0]);
    return RunParent(*options, word[1]);
  }
  close(word[1]);
  return RunStarter(word[0]);
}

}  // namespace
}  // namespace tao::process_parent

int main(int argc, char** argv) { return tao::process_parent::Main(argc, argv); }
