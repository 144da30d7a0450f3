#pragma once

// The one table of what can go wrong in front of a caller. A stable token is mapped to the gRPC code and
// ErrorInfo reason, to the HTTP status and OpenAI error body, to Retry-After and x-should-retry, and to
// the word of RFC 9209's Proxy-Status. Inside the process an error is an absl::Status that carries the
// token and its details as payloads; the edges (server/api, gateway) turn it into their protocol.

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tao::base {

enum class ErrorToken {
  // Routing.
  kServiceNotFound,   // the named job_id, arch or any service at all does not exist
  kModelNotFound,     // `model` was the sole selector and names nothing
  kAmbiguousService,  // several services match; the candidates are listed
  kSelectorConflict,  // the request names two things that no one service is
  kModelNotReady,     // chosen, and still on its way to READY
  kServiceFailed,     // chosen, and FAILED for good
  kServiceDraining,   // chosen, and being stopped
  // Requests.
  kBadRequest,
  kUnsupportedMediaType,
  kBodyTooLarge,
  kContractViolation,
  kSecretInBody,
  // Capacity.
  kOverflow,   // a bounded queue or connection limit is full
  kSpoolFull,  // no room for a request body on disk
  // Upstream.
  kUpstreamConnect,  // refused, unreachable or timed out before a byte was sent
  kUpstreamReset,    // closed or broke the protocol before the answer was whole
  kUpstreamTimeout,
  kGatewayShutdown,
};

// One row of the table.
struct ErrorRule {
  ErrorToken token;
  std::string_view name;  // the token as it is written: X-TAO-Error, `code`, access log, metric label
  absl::StatusCode code;  // gRPC; ErrorInfo.reason is `name` in upper case, its domain tao.inference
  int http_status;
  std::string_view type;  // OpenAI's error.type, where the container gave none
  int retry_after_s;      // 0: no Retry-After
  // x-should-retry, which the OpenAI SDKs obey; absent leaves it to their rule for the status.
  std::optional<bool> should_retry;
  std::string_view proxy_status;  // RFC 9209 section 2.3
};

const std::vector<ErrorRule>& ErrorRules();
const ErrorRule& RuleOf(ErrorToken token);

// A service that a request could have meant, as errors list it.
struct ErrorCandidate {
  std::string job_id;
  std::string network_arch;
  std::string started_at;  // RFC 3339, UTC
  std::string host_url;
};

// One wrong field of a request: google.rpc.BadRequest over gRPC, `param` over HTTP.
struct FieldViolation {
  std::string field;        // path of the field, e.g. "model_path"
  std::string description;  // what was found, why it is wrong, what to write instead
  // The same in two parts, where they are known: HTTP's `findings`.
  std::string found{};
  std::string right{};
};

// What an error carries beyond its token and message. Everything is optional.
struct ErrorDetails {
  std::string type;   // the container's own word (model_load_error, ...); wins over ErrorRule::type
  std::string param;  // OpenAI's error.param
  std::string reason;  // a reason for ErrorInfo where there is no token (UPPER_SNAKE)
  absl::Duration retry_after = absl::ZeroDuration();  // wins over ErrorRule::retry_after_s
  std::vector<ErrorCandidate> candidates;             // at most kMaxListed; candidate_count is the total
  int candidate_count = 0;
  std::vector<FieldViolation> violations;
  int64_t violation_count = 0;  // the total, where `violations` are the first of more
};

// Candidates listed in one error: a gRPC status with its details must stay under 4 KiB.
inline constexpr int kMaxListed = 10;

// An absl::Status with the token's code, that carries the token and the details.
absl::Status TokenError(ErrorToken token, std::string_view message, const ErrorDetails& details = {});

// `status` with the details attached, for errors that have no token (bad Start requests).
absl::Status WithDetails(absl::Status status, const ErrorDetails& details);

// The token of `status`; nullopt when it was not made by TokenError.
std::optional<ErrorToken> TokenOf(const absl::Status& status);
ErrorDetails DetailsOf(const absl::Status& status);

}  // namespace tao::base
