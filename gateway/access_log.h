#pragma once

// One line for each exchange. Worker thread only.

#include <absl/status/status.h>

#include <string_view>

#include "gateway/exchange_end.h"

namespace tao::gateway {

class AccessLogBuffer;
class Exchange;

// What is known of an exchange before it begins. The views outlive it.
struct AccessLogRequest {
  std::string_view request_id;
  std::string_view method;
  std::string_view path;
};

// Goes to `own` where the access log has a file of its own, as JSON, whatever the log's level.
// Otherwise to the log: failures of the service at info, everything else at debug. `status` and
// `end` tell how the exchange ended.
void WriteAccessLog(AccessLogBuffer& own, const AccessLogRequest& request, const Exchange& exchange,
                    const ExchangeTimes& times, const ExchangeEnd& end, const absl::Status& status);

}  // namespace tao::gateway
