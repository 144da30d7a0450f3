#pragma once

// Tells when a name in a folder is written, replaced or removed, by inotify. Used by one thread.

#include <absl/status/statusor.h>

#include <string>

#include "server/io/file.h"

namespace tao::registry {

class FolderWatch {
 public:
  // Watches `name` in `folder`. Can be called again when the watch is lost. NotFound: no such
  // folder; ResourceExhausted: the user's inotify instances or watches are used up, and how to get
  // more.
  absl::Status Watch(const std::string& folder, const std::string& name);

  // Readable when TakeEvents has something. -1 before Watch.
  int fd() const { return inotify_.get(); }

  // Empties the queue without blocking. True when `name` may have changed: also when the kernel
  // dropped events, or the folder itself went.
  bool TakeEvents();
  // The folder was removed or moved: no event comes any more.
  bool lost() const { return lost_; }

 private:
  io::UniqueFd inotify_;
  std::string name_;
  bool lost_ = true;
};

}  // namespace tao::registry
