#pragma once

// Where a service answers: the one place that the route table and the prober ask, and the one that
// writes it into a record.

#include "server/lifecycle/parts.h"
#include "server/registry/service_record.h"
#include "server/routing/route_table.h"

namespace tao::lifecycle {

// Of ours: what its driver says (a network name, a tunnel, a credential), once the platform has
// confirmed that it runs. Of another tool's, or of a platform that this daemon does not have: its
// host_url, with localhost dialled as 127.0.0.1. Port 0 while there is none.
routing::Backend BackendOf(const Parts& parts, const registry::ServiceRecord& record);

// What the driver says of the endpoint, as the record and the registry file have it.
void WriteEndpoint(const platforms::Platform::Endpoint& endpoint, registry::ServiceRecord& record);

}  // namespace tao::lifecycle
