#include "server/platforms/port_check.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/io/errno_status.h"
#include "server/io/file.h"

namespace tao::platforms {
namespace {

std::string ReadWhole(const std::string& path) {
  const io::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[16 << 10];
  ssize_t got = 0;
  while (fd.valid() && (got = read(fd.get(), buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

// Whether one of the process's descriptors is one of the sockets.
bool HoldsOneOf(const std::vector<std::string>& sockets, const std::string& process) {
  const std::string folder = process + "/fd";
  DIR* const descriptors = opendir(folder.c_str());
  if (descriptors == nullptr) return false;  // another user's
  bool found = false;
  char target[64];
  while (const dirent* const entry = found ? nullptr : readdir(descriptors)) {
    const ssize_t size = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof(target));
    found = size > 0 && std::find(sockets.begin(), sockets.end(),
                                  std::string(target, static_cast<size_t>(size))) != sockets.end();
  }
  closedir(descriptors);
  return found;
}

// The listening sockets, as /proc/PID/fd shows them.
std::vector<std::string> SocketsOn(int port) {
  std::vector<std::string> sockets;
  for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    for (const uint64_t inode : ListenersOn(ReadWhole(path), port)) {
      sockets.push_back(absl::StrFormat("socket:[%d]", inode));
    }
  }
  return sockets;
}

// " by python3 (pid 123)"; empty when it cannot be seen.
std::string Holder(int port) {
  const std::vector<std::string> sockets = SocketsOn(port);
  if (sockets.empty()) return "";
  DIR* const proc = opendir("/proc");
  if (proc == nullptr) return "";
  std::string holder;
  while (const dirent* const entry = holder.empty() ? readdir(proc) : nullptr) {
    const int pid = std::atoi(entry->d_name);
    const std::string process = std::string("/proc/") + entry->d_name;
    if (pid <= 0 || !HoldsOneOf(sockets, process)) continue;
    std::string name = ReadWhole(process + "/comm");
    if (!name.empty() && name.back() == '\n') name.pop_back();
    holder = absl::StrFormat(" by %s (pid %d)", name, pid);
  }
  closedir(proc);
  return holder.empty() ? " by a process of another user" : holder;
}

absl::Status TryBind(int port, in_addr_t host) {
  const io::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return io::ErrnoStatus(errno, "make a socket");
  // As servers do: connections of one that has ended, in TIME_WAIT, are not in the way.
  const int yes = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(host);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return absl::OkStatus();
  }
  if (errno == EADDRINUSE) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("port %d of this host is taken%s", port, Holder(port)));
  }
  return io::ErrnoStatus(errno, absl::StrFormat("bind port %d", port));
}

}  // namespace

std::vector<uint64_t> ListenersOn(std::string_view proc_net_tcp, int port) {
  constexpr absl::string_view kListen = "0A";  // TCP_LISTEN
  const std::string wanted = absl::StrFormat(":%04X", port);
  std::vector<uint64_t> inodes;
  for (const absl::string_view line : absl::StrSplit(base::ToAbsl(proc_net_tcp), '\n')) {
    // "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ..."
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t inode = 0;
    if (fields.size() > 9 && base::ToStd(fields[1]).ends_with(wanted) && fields[3] == kListen &&
        absl::SimpleAtoi(fields[9], &inode)) {
      inodes.push_back(inode);
    }
  }
  return inodes;
}

bool ListensOn(pid_t pid, int port) {
  const std::vector<std::string> sockets = SocketsOn(port);
  return !sockets.empty() && HoldsOneOf(sockets, absl::StrFormat("/proc/%d", pid));
}

absl::Status CheckPortIsFree(int port) {
  RETURN_IF_ERROR(TryBind(port, INADDR_ANY));
  return TryBind(port, INADDR_LOOPBACK);
}

}  // namespace tao::platforms
