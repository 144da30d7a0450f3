#pragma once

// ServiceRecord as the text of services/JOB_ID.json, and back. Pure.
//
// The text is JSON with indent 2, for people who look into a state directory. `schema` is the
// version of the format: a reader refuses a version that it does not know, rather than guess what
// runs. Within one version members may be added: what is absent has the field's default, what is
// unknown is skipped. Times are RFC 3339 in UTC with nanoseconds ("infinite-past" for never);
// durations are text ("10m0s"). `revision` is not in it: each process counts anew.

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

#include "server/registry/service_record.h"

namespace tao::registry {

inline constexpr int kRecordSchema = 1;

// Bytes that are no UTF-8 (log lines may hold anything) become U+FFFD.
std::string PrintRecord(const ServiceRecord& record);

// InvalidArgument: not a record, and which member is wrong. FailedPrecondition: written by a
// program with another schema version.
absl::StatusOr<ServiceRecord> ParseRecord(std::string_view text);

}  // namespace tao::registry
