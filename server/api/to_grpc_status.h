#pragma once

// Our errors as gRPC's: the one place where an absl::Status becomes a grpc::Status. Pure.

#include <absl/status/status.h>
#include <grpcpp/support/status.h>

namespace tao::api {

// Message and details together, as they travel (percent-encoded, base64); beyond 8 KiB of headers
// clients lose the whole status, and other tools' limits are lower.
inline constexpr size_t kMaxStatusBytes = 4096;

// With a serialized google.rpc.Status as error_details: ErrorInfo (domain "tao.inference"; reason:
// the token in UPPER_SNAKE, else details.reason, else the code's name; metadata: candidates, the
// container's word), BadRequest when fields are wrong, RetryInfo when trying again helps. What does
// not fit into kMaxStatusBytes is cut: the message first, then candidates and fields from the end.
// Known secrets are redacted.
grpc::Status ToGrpcStatus(const absl::Status& status);

// What `status` takes in the trailers.
size_t WireBytes(const grpc::Status& status);

}  // namespace tao::api
