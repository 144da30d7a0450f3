#pragma once

// One line for each exchange. Worker thread only.

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <string>
#include <string_view>

namespace tao::gateway {

class Exchange;

class AccessLog {
 public:
  // Begins to measure. The views outlive this.
  AccessLog(std::string_view request_id, std::string_view method, std::string_view path);

  // `status`: what Exchange::Run returned. Failures of the service are logged at info, everything
  // else at debug.
  void Write(const Exchange& exchange, const absl::Status& status) const;

 private:
  const std::string_view request_id_;
  const std::string_view method_;
  const std::string_view path_;
  const absl::Duration begun_;
};

}  // namespace tao::gateway
