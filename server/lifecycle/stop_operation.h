#pragma once

// The second half of a Stop, and what follows a FAILED: the same steps, told apart by the journal's
// operation.

#include <absl/time/time.h>

#include <string>

#include "server/base/cancel.h"
#include "server/lifecycle/parts.h"

namespace tao::lifecycle {

// Lets exchanges in flight end within `drain_timeout`, cuts the rest, ends the job, removes what is
// left of it, and ends in STOPPED. Tries again for as long as the platform cannot be asked.
// `cancel` (shutdown) leaves it to the next daemon.
void RunStop(Parts& parts, const std::string& job_id, absl::Duration drain_timeout,
             const base::CancelToken& cancel);

// The clean-up of a FAILED service: keeps its last 200 log lines, then ends and removes the job and
// frees port and GPU, unless it was started with keep_failed.
void RunFail(Parts& parts, const std::string& job_id, const base::CancelToken& cancel);

// Durable FAILED, with the clean-up journaled; false when the service is already stopping or final.
bool MarkFailed(Parts& parts, const std::string& job_id, const std::string& reason,
                const std::string& message);

}  // namespace tao::lifecycle
