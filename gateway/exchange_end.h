#pragma once

// How an exchange ended, for the log and the metrics. Pure.

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "gateway/exchange.h"
#include "gateway/exchange_times.h"
#include "server/base/errors.h"
#include "server/routing/route_table.h"

namespace tao::gateway {

// Who broke an exchange off before its answer was whole.
enum class ClosedBy {
  kNobody,
  kClient,    // it left, or its deadline passed
  kUpstream,  // no connection, or it broke, or it said that it is not ready
  kGateway,   // the request was refused or cut here, a limit or a time-out of ours was reached
};
std::string_view ToString(ClosedBy by);  // "", "client", "upstream", "gateway"

// What became of a stream that was relayed.
enum class StreamOutcome {
  kNone,        // the answer was none, or not that far
  kOk,          // [DONE], and nothing wrong before it
  kNoDone,      // it ended in order, without [DONE]: perhaps not the whole text
  kErrorEvent,  // the service said within it that it failed
  kClientLeft,
  kTruncated,  // the service broke it off
  kTimeout,    // the service fell silent
  kCut,        // we ended it: the drain, or a stop of the service
};
// "", "ok", "no_done", "upstream_error_event", "client_cancel", "upstream_truncated", "timeout",
// "cut"
std::string_view ToString(StreamOutcome outcome);

struct ExchangeEnd {
  // What the client was told; 499 when it left.
  int code = 0;
  std::optional<base::ErrorToken> token;
  ExchangeStage stage = ExchangeStage::kBody;
  ClosedBy closed_by = ClosedBy::kNobody;
  const routing::Service* service = nullptr;  // of the exchange's own table; null: none was chosen
  uint64_t body_bytes = 0;
  uint64_t answer_bytes = 0;
  int64_t duration = 0;  // nanoseconds
  StreamOutcome stream = StreamOutcome::kNone;
};

// `status`: what Exchange::Run returned.
ExchangeEnd EndOf(const Exchange& exchange, const absl::Status& status, const ExchangeTimes& times);

// The token's name, empty without one.
std::string_view NameOf(std::optional<base::ErrorToken> token);

}  // namespace tao::gateway
