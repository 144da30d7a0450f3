#pragma once

// The pure function that picks the service of a request, or says why not. The same for HTTP and
// gRPC. No I/O, clock, lock or log.

#include <absl/status/statusor.h>

#include "server/routing/route_table.h"
#include "server/routing/selector.h"

namespace tao::routing {

// The one service that every term of `selector` holds for; it points into `table`, which the caller
// keeps alive. `latest` never routes, nor does any other guess.
//
// What a term means:
// - job_id: that service, in whatever phase.
// - network_arch: the services of that arch.
// - model: the first of these that there is, in any phase: the service with that job_id, the
//   services of that network_arch, the services with that served name. A `model` that is none of
//   them is ignored beside other terms (clients must send one), and model_not_found when it is the
//   sole term.
//
// How one service is chosen:
// - Terms of one kind with different values are a conflict.
// - A job_id, else a `model` that is a job_id, names the service; an unknown job_id is
//   service_not_found. Every other term must hold for that service, else it is a conflict.
// - Without one, the services for which all terms hold (all services when nothing is selected):
//   exactly one candidate (IsCandidate) among them is chosen, several are ambiguous_service.
//   Without a candidate it is service_not_found; but when all of them are FAILED, the newest is
//   chosen, so that CheckServing tells why it failed. A network_arch without any service is
//   service_not_found; an arch and a `model` that are both there, and no service is both, are a
//   conflict.
//
// Errors (base::TokenError): service_not_found, model_not_found, ambiguous_service,
// selector_conflict. They list up to base::kMaxListed services that could have been meant, in the
// message and in the details, with the total; `param` is the source of the term that is wrong.
absl::StatusOr<const Service*> Resolve(const RouteTable& table, const Selector& selector);

// Whether an exchange may be sent to `service` now: OK for READY and UNREACHABLE (it is tried),
// else model_not_ready (`type` is the container's own word; Retry-After 1 to 60 s, by phase),
// service_failed with the reason (`type` is the container's word if it was the container that gave
// up), or service_draining.
absl::Status CheckServing(const Service& service);

}  // namespace tao::routing
