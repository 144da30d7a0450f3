#pragma once

// The driver's side of a job's folder (parent/protocol.h). Reads, and never disturbs a parent that
// lives or is on its way. Thread-safe: it keeps nothing.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <vector>

#include "server/io/file.h"
#include "server/platforms/local_process/local_process_parse.h"

namespace tao::platforms {

// A folder that is not there gives the same as an empty one. Unavailable: could not look.
absl::StatusOr<JobFiles> LookAtJob(const std::string& folder);

// The process of `parent`, as long as it is that one and not another with the same pid; invalid
// when it has ended.
io::UniqueFd OpenParent(const ParentRecord& parent);

// SIGTERM to the parent, which gives the job `grace` and then kills it, and waits for its end. When
// the parent does not answer it is killed, with the rest of its session. Nothing of the job runs
// when it returns OK, and a parent that comes later finds that it is too late.
absl::Status EndJob(const std::string& folder, absl::Duration grace);

// Takes back what EndJob left for late parents, in a folder whose job never ran: for the next try
// of a launch that failed.
absl::Status ReopenTheDoor(const std::string& folder);

// Notes that a stop has ended the job for good, so that nobody takes its folder, which stays for
// its log, for something that was left behind. OK when there is no folder.
absl::Status MarkStopped(const std::string& folder);
bool IsMarkedStopped(const std::string& folder);

}  // namespace tao::platforms
