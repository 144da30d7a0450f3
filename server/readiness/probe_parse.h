#pragma once

// Pure: what a container's health endpoints answered -> ProbeResult. Both shapes in the field are
// understood (shape A is the container's own code, shape B its reference data); whatever else comes
// is kUnknownAnswer, never an error. The answers are untrusted: their texts come out at most 500
// bytes long, without control characters, known secrets redacted.

#include <optional>

#include "server/io/http_client.h"
#include "server/readiness/phase_machine.h"

namespace tao::readiness {

// `readiness`: GET /api/v1/health/readiness; nullopt when nothing answered. Its status 200 is
// ready, whatever the body says; any other status says nothing by itself, the word in the body
// does. `liveness`: GET /api/v1/health/liveness, for job_id and progress; nullopt when not asked or
// no answer.
ProbeResult ParseProbe(const std::optional<io::HttpResponse>& readiness,
                       const std::optional<io::HttpResponse>& liveness);

}  // namespace tao::readiness
