#include "server/base/errors.h"

#include <absl/strings/cord.h>
#include <absl/strings/numbers.h>

#include <algorithm>
#include <cstdint>

#include "server/base/strings.h"

namespace tao::base {
namespace {

// A payload is a list of strings, each preceded by its length in 4 bytes: the values are arbitrary
// text, so no separator would be safe.
constexpr absl::string_view kTokenUrl = "tao.inference/token";
constexpr absl::string_view kDetailsUrl = "tao.inference/details";

void Put(std::string& out, std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(size >> shift & 0xff);
  out += text;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  std::string Next() {
    if (text_.size() < 4) return "";
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i) {
      size |= static_cast<uint32_t>(static_cast<unsigned char>(text_[i])) << 8 * i;
    }
    std::string value(text_.substr(4, size));
    text_.remove_prefix(std::min<size_t>(text_.size(), 4 + size_t{size}));
    return value;
  }
  int64_t NextInt() {
    int64_t value = 0;
    static_cast<void>(absl::SimpleAtoi(Next(), &value));  // written by Encode, or absent
    return value;
  }

 private:
  std::string_view text_;
};

std::string Encode(const ErrorDetails& details) {
  std::string out;
  Put(out, details.type);
  Put(out, details.param);
  Put(out, details.reason);
  Put(out, std::to_string(absl::ToInt64Milliseconds(details.retry_after)));
  Put(out, std::to_string(details.candidate_count));
  Put(out, std::to_string(details.candidates.size()));
  for (const ErrorCandidate& candidate : details.candidates) {
    Put(out, candidate.job_id);
    Put(out, candidate.network_arch);
    Put(out, candidate.started_at);
    Put(out, candidate.host_url);
  }
  Put(out, std::to_string(details.violations.size()));
  for (const FieldViolation& violation : details.violations) {
    Put(out, violation.field);
    Put(out, violation.description);
    Put(out, violation.found);
    Put(out, violation.right);
  }
  Put(out, std::to_string(details.violation_count));
  return out;
}

ErrorDetails Decode(std::string_view text) {
  Reader reader(text);
  ErrorDetails details;
  details.type = reader.Next();
  details.param = reader.Next();
  details.reason = reader.Next();
  details.retry_after = absl::Milliseconds(reader.NextInt());
  details.candidate_count = static_cast<int>(reader.NextInt());
  for (int64_t left = reader.NextInt(); left > 0; --left) {
    ErrorCandidate& candidate = details.candidates.emplace_back();
    candidate.job_id = reader.Next();
    candidate.network_arch = reader.Next();
    candidate.started_at = reader.Next();
    candidate.host_url = reader.Next();
  }
  for (int64_t left = reader.NextInt(); left > 0; --left) {
    FieldViolation& violation = details.violations.emplace_back();
    violation.field = reader.Next();
    violation.description = reader.Next();
    violation.found = reader.Next();
    violation.right = reader.Next();
  }
  details.violation_count = reader.NextInt();
  return details;
}

}  // namespace

const std::vector<ErrorRule>& ErrorRules() {
  using C = absl::StatusCode;
  using T = ErrorToken;
  constexpr std::string_view kClient = "invalid_request_error";
  constexpr std::string_view kServer = "server_error";
  static const auto* const rules = new std::vector<ErrorRule>{
      {T::kServiceNotFound, "service_not_found", C::kNotFound, 404, kClient, 0, {},
       "destination_not_found"},
      {T::kModelNotFound, "model_not_found", C::kNotFound, 404, kClient, 0, {},
       "destination_not_found"},
      {T::kAmbiguousService, "ambiguous_service", C::kFailedPrecondition, 400, kClient, 0, {},
       "http_request_error"},
      {T::kSelectorConflict, "selector_conflict", C::kInvalidArgument, 400, kClient, 0, {},
       "http_request_error"},
      {T::kModelNotReady, "model_not_ready", C::kUnavailable, 503, "model_not_ready", 5, {},
       "destination_unavailable"},
      {T::kServiceFailed, "service_failed", C::kFailedPrecondition, 503, kServer, 0, false,
       "destination_unavailable"},
      {T::kServiceDraining, "service_draining", C::kUnavailable, 503, kServer, 0, false,
       "destination_unavailable"},
      {T::kBadRequest, "bad_request", C::kInvalidArgument, 400, kClient, 0, {},
       "http_request_error"},
      {T::kUnsupportedMediaType, "unsupported_media_type", C::kInvalidArgument, 415, kClient, 0, {},
       "http_request_error"},
      {T::kBodyTooLarge, "body_too_large", C::kInvalidArgument, 413, kClient, 0, {},
       "http_request_error"},
      {T::kContractViolation, "contract_violation", C::kInvalidArgument, 400, kClient, 0, {},
       "http_request_error"},
      {T::kSecretInBody, "secret_in_body", C::kInvalidArgument, 400, kClient, 0, {},
       "http_request_denied"},
      {T::kOverflow, "overflow", C::kResourceExhausted, 503, kServer, 1, {},
       "connection_limit_reached"},
      {T::kSpoolFull, "spool_full", C::kResourceExhausted, 507, kServer, 10, {},
       "proxy_internal_error"},
      {T::kUpstreamConnect, "upstream_connect", C::kUnavailable, 502, kServer, 1, {},
       "connection_refused"},
      {T::kUpstreamReset, "upstream_reset", C::kUnavailable, 502, kServer, 0, {},
       "connection_terminated"},
      {T::kUpstreamTimeout, "upstream_timeout", C::kDeadlineExceeded, 504, kServer, 0, false,
       "http_response_timeout"},
      {T::kGatewayShutdown, "gateway_shutdown", C::kUnavailable, 503, kServer, 1, {},
       "destination_unavailable"},
  };
  return *rules;
}

const ErrorRule& RuleOf(ErrorToken token) {
  return ErrorRules()[static_cast<size_t>(token)];  // errors_test holds the table to the enum's order
}

absl::Status TokenError(ErrorToken token, std::string_view message, const ErrorDetails& details) {
  const ErrorRule& rule = RuleOf(token);
  absl::Status status(rule.code, ToAbsl(message));
  status.SetPayload(kTokenUrl, absl::Cord(ToAbsl(rule.name)));
  return WithDetails(std::move(status), details);
}

absl::Status WithDetails(absl::Status status, const ErrorDetails& details) {
  status.SetPayload(kDetailsUrl, absl::Cord(Encode(details)));
  return status;
}

std::optional<ErrorToken> TokenOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kTokenUrl);
  if (!payload.has_value()) return std::nullopt;
  for (const ErrorRule& rule : ErrorRules()) {
    if (*payload == ToAbsl(rule.name)) return rule.token;
  }
  return std::nullopt;
}

ErrorDetails DetailsOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kDetailsUrl);
  return payload.has_value() ? Decode(std::string(*payload)) : ErrorDetails{};
}

}  // namespace tao::base
