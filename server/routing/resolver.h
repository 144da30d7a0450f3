#pragma once

// The pure function that picks the service of a request, or says why not. The same for HTTP and gRPC.
// No I/O, clock, lock or log.

#include <absl/status/statusor.h>

#include "server/routing/route_table.h"
#include "server/routing/selector.h"

namespace tao::routing {

// The one service that every term of `selector` holds for; it points into `table`, which the caller
// keeps alive. A job_id (also as `model`) names a service in whatever phase; an arch or a served name
// means exactly one candidate (IsCandidate); no selector means the only candidate there is. A `model`
// that names nothing is ignored beside other terms. FAILED ones are chosen only when named by job_id, or
// when FAILED ones are all there is. `latest` never routes.
// Errors (base::TokenError): service_not_found, model_not_found, ambiguous_service with the candidates,
// selector_conflict.
absl::StatusOr<const Service*> Resolve(const RouteTable& table, const Selector& selector);

// Whether an exchange may be sent to `service` now: OK for READY and UNREACHABLE (it is tried), else
// model_not_ready (with the container's own type, Retry-After 1 to 60), service_failed with the reason,
// or service_draining.
absl::Status CheckServing(const Service& service);

}  // namespace tao::routing
