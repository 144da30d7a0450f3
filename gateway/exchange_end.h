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
};

// `status`: what Exchange::Run returned.
ExchangeEnd EndOf(const Exchange& exchange, const absl::Status& status, const ExchangeTimes& times);

// The token's name, empty without one.
std::string_view NameOf(std::optional<base::ErrorToken> token);

}  // namespace tao::gateway
