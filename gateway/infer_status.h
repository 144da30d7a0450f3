#pragma once

// What a container's error answer is as a status of the API. Pure; thread-safe.

#include <absl/status/status.h>

#include <string_view>

#include "server/routing/route_table.h"

namespace tao::gateway {

// The status for an answer other than a 200: the code that corresponds to `http_status`, the
// container's own words as message and details.type.
absl::Status StatusOfAnswer(int http_status, std::string_view body,
                            const routing::Service& service);

// For what comes or is cut while the gateway ends: gateway_shutdown.
absl::Status ShuttingDown();

}  // namespace tao::gateway
