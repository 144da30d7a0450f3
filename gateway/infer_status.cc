#include "gateway/infer_status.h"

#include <absl/strings/str_format.h>

#include <optional>
#include <string>

#include "gateway/container_error.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

using base::ErrorToken;

// The token that says the same, where the container's answer has one of our meanings.
std::optional<ErrorToken> TokenFor(int http_status, const ContainerError& said) {
  if (IsFinal(said)) return ErrorToken::kServiceFailed;
  if (IsLoading(said)) return ErrorToken::kModelNotReady;
  switch (http_status) {
    case 400:
    case 422:
      return ErrorToken::kBadRequest;
    case 413:
      return ErrorToken::kBodyTooLarge;
    case 415:
      return ErrorToken::kUnsupportedMediaType;
    default:
      return std::nullopt;
  }
}

absl::StatusCode CodeFor(int http_status) {
  switch (http_status) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 405:
    case 501:
      return absl::StatusCode::kUnimplemented;
    case 408:
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    case 409:
      return absl::StatusCode::kAborted;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    case 502:
    case 503:
      return absl::StatusCode::kUnavailable;
    default:
      break;
  }
  if (http_status >= 500) return absl::StatusCode::kInternal;
  return http_status >= 400 ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kUnknown;
}

}  // namespace

absl::Status StatusOfAnswer(int http_status, std::string_view body,
                            const routing::Service& service) {
  const ContainerError said = ParseContainerError(body);
  const std::string message = absl::StrFormat(
      "service %s (%s) answered with HTTP status %d: %s", service.job_id, service.network_arch,
      http_status, said.message.empty() ? base::Quoted(body, 200) : said.message);
  const base::ErrorDetails details{.type = said.type, .reason = "CONTAINER_ERROR"};
  if (const std::optional<ErrorToken> token = TokenFor(http_status, said); token.has_value()) {
    return base::TokenError(*token, message, details);
  }
  return base::WithDetails(absl::Status(CodeFor(http_status), base::ToAbsl(message)), details);
}

absl::Status ShuttingDown() {
  return base::TokenError(ErrorToken::kGatewayShutdown,
                          "the gateway is shutting down; send the request again in a moment");
}

}  // namespace tao::gateway
