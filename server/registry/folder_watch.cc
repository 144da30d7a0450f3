#include "server/registry/folder_watch.h"

#include <absl/strings/str_format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "server/io/errno_status.h"

namespace tao::registry {
namespace {

// Not IN_MODIFY: a file that is still being written is not worth a look.
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                             IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

absl::Status WatchError(int error, const std::string& folder) {
  if (error == EMFILE || error == ENOSPC) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("watch %s: this user's inotify %s are used up. Raise sysctl fs.inotify.%s",
                        folder, error == EMFILE ? "instances" : "watches",
                        error == EMFILE ? "max_user_instances" : "max_user_watches"));
  }
  if (error == ENOENT || error == ENOTDIR || error == EACCES) {
    return absl::Status(io::ErrnoStatus(error, "").code(),
                        absl::StrFormat("the registry file's folder %s cannot be watched: %s. Make "
                                        "it, or name another file with "
                                        "--registry",
                                        folder, std::strerror(error)));
  }
  return io::ErrnoStatus(error, "watch folder " + folder);
}

}  // namespace

absl::Status FolderWatch::Watch(const std::string& folder, const std::string& name) {
  io::UniqueFd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify.valid()) return WatchError(errno, folder);
  if (inotify_add_watch(inotify.get(), folder.c_str(), kEvents) < 0) {
    return WatchError(errno, folder);
  }
  inotify_ = std::move(inotify);
  name_ = name;
  lost_ = false;
  return absl::OkStatus();
}

bool FolderWatch::TakeEvents() {
  if (!inotify_.valid()) return false;
  bool changed = false;
  alignas(inotify_event) char buffer[16 * 1024];
  while (true) {
    const ssize_t got = read(inotify_.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return changed;  // EAGAIN: empty
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof(event));
      const char* const text = buffer + at + sizeof(event);  // padded with NULs to event.len
      const std::string_view name(text, strnlen(text, event.len));
      at += static_cast<ssize_t>(sizeof(event) + event.len);
      if ((event.mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) lost_ = changed = true;
      if ((event.mask & IN_Q_OVERFLOW) != 0 || name == name_) changed = true;
    }
  }
}

}  // namespace tao::registry
