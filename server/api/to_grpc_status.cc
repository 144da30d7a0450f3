#include "server/api/to_grpc_status.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/api/utf8.h"
#include "server/base/errors.h"
#include "server/base/secret.h"
#include "server/base/strings.h"

namespace tao::api {
namespace {

constexpr char kDomain[] = "tao.inference";
constexpr char kTypePrefix[] = "type.googleapis.com";
constexpr size_t kMessageBytes = 1500;      // when there is room
constexpr size_t kShortMessageBytes = 800;  // when the details need it
constexpr size_t kFieldBytes = 300;         // of one text in the details

std::string Clean(std::string text, size_t max_bytes) {
  return CutUtf8(ToValidUtf8(base::Redact(std::move(text))), max_bytes);
}

// gRPC percent-encodes whatever is not printable ASCII, and the percent sign.
size_t EncodedBytes(std::string_view message) {
  const auto plain = [](char c) { return c >= ' ' && c <= '~' && c != '%'; };
  const auto count = static_cast<size_t>(std::count_if(message.begin(), message.end(), plain));
  return count + 3 * (message.size() - count);
}

std::string ReasonOf(const absl::Status& status, const base::ErrorDetails& details) {
  if (const std::optional<base::ErrorToken> token = base::TokenOf(status); token.has_value()) {
    return absl::AsciiStrToUpper(base::ToAbsl(base::RuleOf(*token).name));
  }
  return details.reason.empty() ? absl::StatusCodeToString(status.code()) : details.reason;
}

absl::Duration RetryAfter(const absl::Status& status, const base::ErrorDetails& details) {
  if (details.retry_after > absl::ZeroDuration()) return details.retry_after;
  const std::optional<base::ErrorToken> token = base::TokenOf(status);
  return token.has_value() ? absl::Seconds(base::RuleOf(*token).retry_after_s)
                           : absl::ZeroDuration();
}

google::rpc::ErrorInfo ErrorInfoOf(const absl::Status& status, const base::ErrorDetails& details) {
  google::rpc::ErrorInfo info;
  info.set_domain(kDomain);
  info.set_reason(Clean(ReasonOf(status, details), kFieldBytes));
  auto& metadata = *info.mutable_metadata();
  if (!details.type.empty()) metadata["type"] = Clean(details.type, kFieldBytes);
  if (!details.param.empty()) metadata["param"] = Clean(details.param, kFieldBytes);
  if (details.candidate_count > 0) {
    metadata["candidate_count"] = std::to_string(details.candidate_count);
  }
  if (details.violation_count > 0) metadata["total"] = std::to_string(details.violation_count);
  for (size_t i = 0; i < details.candidates.size(); ++i) {
    const base::ErrorCandidate& each = details.candidates[i];
    metadata[absl::StrFormat("candidate_%d", i)] =
        Clean(absl::StrFormat("%s %s %s %s", each.job_id, each.network_arch, each.started_at,
                              each.host_url),
              kFieldBytes);
  }
  return info;
}

google::rpc::Status RichStatus(const absl::Status& status, const base::ErrorDetails& details,
                               size_t message_bytes) {
  google::rpc::Status rich;
  rich.set_code(static_cast<int>(status.code()));
  std::string message = Clean(std::string(base::ToStd(status.message())), message_bytes);
  while (EncodedBytes(message) > message_bytes) {
    message = CutUtf8(message, message.size() * 3 / 4);  // much of it is not ASCII
  }
  rich.set_message(message);
  rich.add_details()->PackFrom(ErrorInfoOf(status, details), kTypePrefix);
  if (!details.violations.empty()) {
    google::rpc::BadRequest bad_request;
    for (const base::FieldViolation& each : details.violations) {
      auto* const violation = bad_request.add_field_violations();
      violation->set_field(Clean(each.field, kFieldBytes));
      violation->set_description(Clean(each.description, kFieldBytes));
    }
    rich.add_details()->PackFrom(bad_request, kTypePrefix);
  }
  if (const absl::Duration delay = RetryAfter(status, details); delay > absl::ZeroDuration()) {
    google::rpc::RetryInfo retry;
    absl::Duration rest;
    retry.mutable_retry_delay()->set_seconds(absl::IDivDuration(delay, absl::Seconds(1), &rest));
    retry.mutable_retry_delay()->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(rest)));
    rich.add_details()->PackFrom(retry, kTypePrefix);
  }
  return rich;
}

// The message of both is the same: grpcio's rpc_status.from_call refuses a status where it differs.
grpc::Status Sealed(const google::rpc::Status& rich) {
  return {static_cast<grpc::StatusCode>(rich.code()), rich.message(), rich.SerializeAsString()};
}

}  // namespace

size_t WireBytes(const grpc::Status& status) {
  return EncodedBytes(status.error_message()) + (status.error_details().size() + 2) / 3 * 4;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  base::ErrorDetails details = base::DetailsOf(status);
  if (details.candidates.size() > base::kMaxListed) details.candidates.resize(base::kMaxListed);
  grpc::Status sealed = Sealed(RichStatus(status, details, kMessageBytes));
  if (WireBytes(sealed) < kMaxStatusBytes) return sealed;
  sealed = Sealed(RichStatus(status, details, kShortMessageBytes));
  while (WireBytes(sealed) >= kMaxStatusBytes &&
         !(details.candidates.empty() && details.violations.empty())) {
    // The longer list gives up its last item.
    if (details.candidates.size() >= details.violations.size()) {
      details.candidates.pop_back();
    } else {
      details.violations.pop_back();
    }
    sealed = Sealed(RichStatus(status, details, kShortMessageBytes));
  }
  return sealed;
}

}  // namespace tao::api
