#pragma once

// A driver's check as the answer of a Start: an error, or nothing.

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <map>
#include <string>
#include <vector>

#include "server/launch/launch_plan.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

// OK when nothing is missing and everything could be asked. FailedPrecondition: all that is
// missing, and how to get it. Unavailable: nothing is missing as far as could be seen, but
// something could not be asked.
absl::Status ToStatus(const std::vector<CheckItem>& items);

// InvalidArgument, field by field (platform_options.NAME): an option that the platform does not
// have, with those it has, or a value that it cannot take.
absl::Status CheckOptions(const Platform& platform,
                          const std::map<std::string, std::string>& options);

// Whether `plan` could start on `platform` now.
absl::Status Preflight(Platform& platform, const launch::LaunchPlan& plan, absl::Duration deadline);

// For drivers: what a step that ended with `status` found. OK becomes kOk with `found`; an error
// its message, as kUnknown when the platform could not be asked (Unavailable, DeadlineExceeded),
// else as kMissing.
CheckItem ItemOf(std::string_view name, const absl::Status& status, std::string_view found);

}  // namespace tao::platforms
