#include "gateway/exchange_end.h"

#include "gateway/http_error.h"

namespace tao::gateway {
namespace {

using base::ErrorToken;

ClosedBy WhoClosed(const absl::Status& status, std::optional<ErrorToken> token,
                   ExchangeStage stage) {
  if (status.ok()) return ClosedBy::kNobody;
  if (!token.has_value()) {
    const bool is_callers = absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
    return is_callers ? ClosedBy::kClient : ClosedBy::kGateway;
  }
  switch (*token) {
    case ErrorToken::kUpstreamConnect:
    case ErrorToken::kUpstreamReset:
      return ClosedBy::kUpstream;
    case ErrorToken::kModelNotReady:
    case ErrorToken::kServiceFailed:
      return stage == ExchangeStage::kAnswer ? ClosedBy::kUpstream : ClosedBy::kGateway;
    default:
      return ClosedBy::kGateway;
  }
}

// What the service said of itself goes before what happened to the stream later.
StreamOutcome OutcomeOf(const absl::Status& status, const ExchangeEnd& end,
                        const EventTimes& events) {
  if (!events.followed) return StreamOutcome::kNone;
  if (events.error) return StreamOutcome::kErrorEvent;
  if (status.ok()) return events.done ? StreamOutcome::kOk : StreamOutcome::kNoDone;
  if (end.closed_by == ClosedBy::kClient) return StreamOutcome::kClientLeft;
  if (end.token == ErrorToken::kUpstreamTimeout) return StreamOutcome::kTimeout;
  return end.closed_by == ClosedBy::kUpstream ? StreamOutcome::kTruncated : StreamOutcome::kCut;
}

}  // namespace

std::string_view ToString(StreamOutcome outcome) {
  switch (outcome) {
    case StreamOutcome::kOk:
      return "ok";
    case StreamOutcome::kNoDone:
      return "no_done";
    case StreamOutcome::kErrorEvent:
      return "upstream_error_event";
    case StreamOutcome::kClientLeft:
      return "client_cancel";
    case StreamOutcome::kTruncated:
      return "upstream_truncated";
    case StreamOutcome::kTimeout:
      return "timeout";
    case StreamOutcome::kCut:
      return "cut";
    case StreamOutcome::kNone:
      break;
  }
  return "";
}

std::string_view ToString(ClosedBy by) {
  switch (by) {
    case ClosedBy::kClient:
      return "client";
    case ClosedBy::kUpstream:
      return "upstream";
    case ClosedBy::kGateway:
      return "gateway";
    case ClosedBy::kNobody:
      break;
  }
  return "";
}

std::string_view NameOf(std::optional<ErrorToken> token) {
  return token.has_value() ? base::RuleOf(*token).name : std::string_view();
}

ExchangeEnd EndOf(const Exchange& exchange, const absl::Status& status,
                  const ExchangeTimes& times) {
  ExchangeEnd end;
  end.token = base::TokenOf(status);
  end.stage = exchange.stage();
  end.closed_by = WhoClosed(status, end.token, end.stage);
  // A client that left is 499, as nginx logs it, also in the middle of its answer.
  const bool left = end.closed_by == ClosedBy::kClient;
  const bool told_nothing = !status.ok() && !exchange.answer_begun();
  end.code = left || told_nothing ? HttpStatusOf(status) : exchange.told_status();
  end.service = exchange.service();
  end.body_bytes = exchange.body_bytes();
  end.answer_bytes = exchange.answer_bytes();
  end.duration = ExchangeTimes::Now() - times.begun;
  end.stream = OutcomeOf(status, end, times.events);
  return end;
}

}  // namespace tao::gateway
