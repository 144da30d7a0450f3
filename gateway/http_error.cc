#include "gateway/http_error.h"

#include <absl/strings/cord.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "server/base/errors.h"

namespace tao::gateway {
namespace {

constexpr absl::string_view kHttpStatusUrl = "tao.gateway/http_status";
constexpr absl::string_view kClientLeftUrl = "tao.gateway/client_left";

}  // namespace

absl::Status HttpError(int http_status, std::string_view message) {
  absl::Status status = base::TokenError(base::ErrorToken::kBadRequest, message);
  status.SetPayload(kHttpStatusUrl, absl::Cord(std::to_string(http_status)));
  return status;
}

int HttpStatusOf(const absl::Status& error) {
  if (const absl::optional<absl::Cord> own = error.GetPayload(kHttpStatusUrl); own.has_value()) {
    return std::atoi(std::string(*own).c_str());
  }
  if (const std::optional<base::ErrorToken> token = base::TokenOf(error); token.has_value()) {
    return base::RuleOf(*token).http_status;
  }
  switch (error.code()) {
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

absl::Status ClientLeft() {
  absl::Status status = absl::CancelledError("the client closed the connection");
  status.SetPayload(kClientLeftUrl, absl::Cord());
  return status;
}

bool IsClientLeft(const absl::Status& status) {
  return status.GetPayload(kClientLeftUrl).has_value();
}

}  // namespace tao::gateway
