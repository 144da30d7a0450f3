#pragma once

// The second half of a Start, on the operation queue: the driver's Launch, then confirm and
// publish.

#include <absl/status/statusor.h>

#include <string>

#include "server/base/cancel.h"
#include "server/launch/launch_plan.h"
#include "server/lifecycle/parts.h"

namespace tao::lifecycle {

// The plan of an accepted request. The same errors as launch::BuildLaunchPlan.
absl::StatusOr<launch::LaunchPlan> PlanOf(const Parts& parts, const launch::LaunchRequest& request,
                                          const std::string& job_id,
                                          const platforms::Platform& platform);

// Carries out, or goes on with, the start of `job_id`. Everything that goes wrong ends in phase
// FAILED with a reason, but for a cancelled one, which is left to the operation that cancelled it,
// or to the next daemon.
// While the platform cannot be asked (Unavailable) it is tried again for `patience`: the start of a
// daemon before may run there already.
void RunStart(Parts& parts, const std::string& job_id, absl::Duration patience,
              const base::CancelToken& cancel);

}  // namespace tao::lifecycle
