// Exchange's wait for a service that is not READY yet, where the client or the operator wants it.

#include <absl/strings/str_format.h>

#include <algorithm>

#include "gateway/exchange.h"
#include "gateway/worker.h"
#include "server/base/errors.h"
#include "server/routing/resolver.h"

namespace tao::gateway {

using base::ErrorToken;
using transport::DeadlineWheel;
using transport::Task;

namespace {

bool IsLoading(const absl::Status& serving) {
  return base::TokenOf(serving) == ErrorToken::kModelNotReady;
}

absl::Status TooManyHeld(size_t most) {
  return base::TokenError(
      ErrorToken::kOverflow,
      absl::StrFormat("%d requests already wait for their services to become READY, which is as "
                      "many as this gateway holds (--max-held-requests); try again later",
                      most));
}

// How far the service is, for people: "LOADING (model_loading): shard 3 of 8".
std::string Progress(const routing::Service& service) {
  std::string text(routing::ToString(service.phase));
  if (!service.reason.empty()) text += " (" + service.reason + ")";
  if (!service.message.empty()) text += ": " + service.message;
  return text;
}

}  // namespace

absl::Duration Exchange::ColdStartWait() const {
  const GatewayConfig& config = worker_.config();
  return std::min(request_.wishes.wait.value_or(config.cold_start_wait),
                  config.max_cold_start_wait);
}

// OK as soon as the service can take the request. Else what the client is told: at once when
// waiting is no use or was not asked for.
Task<absl::Status> Exchange::AwaitService() {
  absl::Status serving = CheckService();
  const absl::Duration wait = ColdStartWait();
  if (!IsLoading(serving) || wait <= absl::ZeroDuration()) co_return serving;
  const size_t most = worker_.config().max_held_requests;
  const std::optional<Ticket> ticket = Ticket::Take(worker_.load().held, most);
  if (!ticket.has_value()) co_return TooManyHeld(most);

  stage_ = ExchangeStage::kHeld;
  const absl::Duration until = DeadlineWheel::After(wait);
  const Worker::TableWatch watch(worker_, wake_up_);
  transport::Deadline timer(worker_.wheel(), [this] { wake_up_.Set(); });
  const bool streams = WantsEvents() && body_.done();
  std::string told;
  const int64_t begun = ExchangeTimes::Now();
  while (IsLoading(serving) && DeadlineWheel::Now() < until) {
    timer.Arm(streams ? std::min(until, heartbeat_.due()) : until);
    co_await wake_up_.Wait();
    wake_up_.Clear();
    serving = CheckService();
    times_.sendable = ExchangeTimes::Now();
    times_.held = times_.sendable - begun;
    if (!streams || !IsLoading(serving)) continue;
    std::string progress = Progress(*service());
    const bool is_news = heartbeat_.has_begun_stream() && progress != told;
    if (!is_news && !heartbeat_.is_due()) continue;
    absl::Status beaten = co_await heartbeat_.Beat(*service(), progress, false);
    if (!beaten.ok()) co_return beaten;
    told = std::move(progress);
  }
  co_return serving;
}

}  // namespace tao::gateway
