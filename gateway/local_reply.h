#pragma once

// Answers that the gateway gives itself. Pure; thread-safe.

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <string_view>

#include "gateway/http/head.h"
#include "server/base/errors.h"

namespace tao::gateway {

struct LocalReply {
  int status = 200;
  std::string body;  // empty for none
  std::string_view content_type = "application/json";
  std::string_view allow;  // for 204 and 405
  // Of an error.
  std::optional<base::ErrorToken> token;
  int retry_after_s = 0;
  std::optional<bool> should_retry;
  std::string proxy_status;  // RFC 9209's word; empty: the token's
};

// The OpenAI-shaped answer for `error`, with the advice of server/base/errors.h.
LocalReply ErrorReply(const absl::Status& error);

// What /readyz says.
LocalReply ReadinessReply(bool draining, bool has_table);

// What goes into the head of every answer, ours or relayed.
struct ReplyContext {
  std::string_view date;
  std::string_view request_id;
  std::string_view job_id;  // empty: no service was chosen
  std::string_view network_arch;
  std::string_view server_timing;  // empty: none
  bool is_head = false;            // the request was a HEAD: no body
  bool close = false;              // the connection ends with this answer
};

// The whole answer, as it is sent.
std::string Render(const LocalReply& reply, const ReplyContext& context);

}  // namespace tao::gateway
