#pragma once

// A failed call as people read it, and as scripts do (the exit code). Pure, but for ReportStatus.

#include <absl/time/time.h>
#include <grpcpp/support/status.h>

#include <optional>
#include <string>

#include "clients/cli/connection.h"
#include "clients/cli/exit_code.h"

namespace tao::cli {

ExitCode ExitCodeOf(const grpc::Status& status);

// ErrorInfo's reason ("MODEL_NOT_READY"); empty: the status has none.
std::string ReasonOf(const grpc::Status& status);

// RetryInfo: after how long the same call may succeed. nullopt: the daemon does not say that it
// may.
std::optional<absl::Duration> RetryAfter(const grpc::Status& status);

// The message and what google.rpc details add to it: wrong fields, candidates and other metadata,
// when to try again. Several lines. When no daemon answers at `server`: how to get one.
std::string StatusText(const grpc::Status& status, const std::string& server);

// Prints `status`, which is not OK, to stderr. A call that Ctrl-C cancelled is kInterrupted, with
// nothing printed.
ExitCode ReportStatus(const grpc::Status& status, const Session& session);

}  // namespace tao::cli
