#include "server/platforms/local_process/parent/process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace tao::process_parent {
namespace {

// Field 4 of /proc/PID/stat; 0 when it has gone.
pid_t ParentOf(const char* pid) {
  const int fd = open(("/proc/" + std::string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char buffer[512];
  const ssize_t got = read(fd, buffer, sizeof(buffer) - 1);
  close(fd);
  if (got <= 0) return 0;
  buffer[got] = '\0';
  // "PID (name) S PPID": the name may hold anything, so from its last parenthesis on.
  const char* const name_end = std::strrchr(buffer, ')');
  return name_end == nullptr || std::strlen(name_end) < 5 ? 0 : std::atoi(name_end + 4);
}

// One look at /proc. True when it reaped somebody.
bool Scan(pid_t except, std::vector<pid_t>& children) {
  children.clear();
  DIR* const proc = opendir("/proc");
  if (proc == nullptr) return false;
  bool reaped = false;
  const pid_t self = getpid();
  while (const dirent* const entry = readdir(proc)) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid <= 0 || pid == except || ParentOf(entry->d_name) != self) continue;
    // Only we reap them, so a pid that is our child stays that child until this very call.
    if (waitpid(pid, nullptr, WNOHANG) == 0) {
      children.push_back(pid);
    } else {
      reaped = true;
    }
  }
  closedir(proc);
  return reaped;
}

}  // namespace

std::vector<pid_t> LivingChildren(pid_t except) {
  std::vector<pid_t> children;
  // The children of one that ended became ours, perhaps after the scan had passed them.
  while (Scan(except, children)) {
  }
  return children;
}

}  // namespace tao::process_parent
