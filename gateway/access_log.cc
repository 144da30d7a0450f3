#include "gateway/access_log.h"

#include <optional>

#include "gateway/exchange.h"
#include "gateway/http_error.h"
#include "gateway/transport/deadline_wheel.h"
#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

constexpr size_t kMaxPathBytes = 200;

}  // namespace

AccessLog::AccessLog(std::string_view request_id, std::string_view method, std::string_view path)
    : request_id_(request_id),
      method_(method),
      path_(path),
      begun_(transport::DeadlineWheel::Now()) {}

void AccessLog::Write(const Exchange& exchange, const absl::Status& status) const {
  int answered = exchange.answer_status();
  // A client that left is 499, as nginx logs it, also in the middle of its answer.
  const bool left = absl::IsCancelled(status);
  if (left || (!status.ok() && !exchange.answer_begun())) answered = HttpStatusOf(status);
  const bool is_failure = !left && (answered >= 500 || (!status.ok() && exchange.answer_begun()));
  const base::LogLevel level = is_failure ? base::LogLevel::kInfo : base::LogLevel::kDebug;
  if (!base::LogEnabled(level)) return;

  const absl::Duration took = transport::DeadlineWheel::Now() - begun_;
  const std::optional<base::ErrorToken> token = base::TokenOf(status);
  const routing::Service* const service = exchange.service();
  base::Log(level, "gateway", "exchange",
            {{"request_id", std::string(request_id_)},
             {"method", std::string(method_)},
             {"path", std::string(path_.substr(0, kMaxPathBytes))},
             {"status", std::to_string(answered)},
             {"stage", std::string(ToString(exchange.stage()))},
             {"error", std::string(token.has_value() ? base::RuleOf(*token).name : "")},
             {"why", std::string(base::ToStd(status.message()))},
             {"job_id", service == nullptr ? "" : service->job_id},
             {"network_arch", service == nullptr ? "" : service->network_arch},
             {"body_bytes", std::to_string(exchange.body_bytes())},
             {"answer_bytes", std::to_string(exchange.answer_bytes())},
             {"duration_ms", std::to_string(absl::ToInt64Milliseconds(took))}});
}

}  // namespace tao::gateway
