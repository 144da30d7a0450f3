#pragma once

// What the head of a request asks of its exchange beside the service: how long the client will
// wait, and whether it would rather wait than be refused. Pure; thread-safe.

#include <absl/time/time.h>

#include <optional>

#include "gateway/http/field.h"
#include "server/base/exchange_timeouts.h"

namespace tao::gateway {

struct RequestWishes {
  // OpenAI's libraries say what they were configured with: x-stainless-read-timeout (Python: each
  // read of its socket), x-stainless-timeout (Node: until the head of the answer). After that
  // nobody listens, so the backend need not work on.
  base::TimeoutOverrides timeouts;
  // Prefer: wait=N (RFC 7240 section 4.3), in seconds.
  std::optional<absl::Duration> wait;
};

// What is malformed asks for nothing: both are hints.
RequestWishes ReadWishes(const http::FieldList& fields);

}  // namespace tao::gateway
