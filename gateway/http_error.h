#pragma once

// Errors of the HTTP layer itself, whose status is more exact than the table of
// server/base/errors.h (404, 405, 408, 411, 414, 431, 501, 505). Thread-safe.

#include <absl/status/status.h>

#include <string_view>

#include "gateway/http/message_error.h"

namespace tao::gateway {

// bad_request with its own HTTP status.
absl::Status HttpError(int http_status, std::string_view message);
inline absl::Status HttpError(const http::MessageError& error) {
  return HttpError(error.status, error.reason);
}

// The HTTP status that `error` is answered with: its own, its token's, or 500. For the log also 499
// and 504, when the caller of the API cancelled, or its deadline passed.
int HttpStatusOf(const absl::Status& error);

// What an exchange ends with when the client has left: nothing is answered, 499 in the log.
absl::Status ClientLeft();
bool IsClientLeft(const absl::Status& status);

}  // namespace tao::gateway
