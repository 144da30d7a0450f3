#pragma once

// A LaunchRequest as text: kept in the record, so that a start that a crash cut short can be
// finished by the next daemon, and compared to tell whether a repeated request_id means the same
// thing. It holds no secret: a request cannot carry one.

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "server/launch/launch_request.h"

namespace tao::lifecycle {

// Canonical: two requests that mean the same give the same text. request_id is left out.
std::string EncodeLaunchRequest(const launch::LaunchRequest& request);

// Internal when `text` was not made by EncodeLaunchRequest (an older or a newer daemon's record).
absl::StatusOr<launch::LaunchRequest> DecodeLaunchRequest(std::string_view text);

}  // namespace tao::lifecycle
