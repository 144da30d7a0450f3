#pragma once

// GET /services/{job_id}/schema and /archs/{network_arch}/schema. Pure; thread-safe.

#include <absl/status/statusor.h>

#include <map>
#include <string>

#include "server/routing/route_table.h"
#include "server/routing/selector.h"

namespace tao::gateway {

// network_arch -> what its requests are, as JSON Schema. Written by whoever knows the references.
using RequestSchemas = std::map<std::string, std::string, std::less<>>;

// The schema of the arch that `scope` means: of its service if it names one, which every other term
// must hold for. service_not_found: there is no such service. HttpError 404: no schema is known for
// the arch.
absl::StatusOr<std::string> RequestSchema(const routing::RouteTable& table,
                                          const routing::Selector& scope,
                                          const RequestSchemas& schemas);

}  // namespace tao::gateway
