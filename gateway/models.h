#pragma once

// GET /v1/models: what a client may write as `model`, as OpenAI lists models, with what we know
// besides as extra members. Pure; thread-safe.

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "server/routing/route_table.h"
#include "server/routing/selector.h"

namespace tao::gateway {

// The body of the list. Each service by its job_id; each network_arch and each served name that
// means one service. `scope` limits the list to the services that all its terms hold for:
// service_not_found when there is none.
absl::StatusOr<std::string> ModelList(const routing::RouteTable& table,
                                      const routing::Selector& scope);

// The body for one entry of that list. model_not_found.
absl::StatusOr<std::string> ModelEntry(const routing::RouteTable& table,
                                       const routing::Selector& scope, std::string_view id);

}  // namespace tao::gateway
