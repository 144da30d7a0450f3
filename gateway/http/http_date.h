#pragma once

// IMF-fixdate (RFC 9110 section 5.6.7), formatted once a second.

#include <absl/time/time.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace tao::http {

// Owned by one worker; externally synchronised.
class HttpDate {
 public:
  // "Sun, 06 Nov 1994 08:49:37 GMT", always 29 bytes. Valid until the next call.
  std::string_view Format(absl::Time now);

 private:
  int64_t second_ = INT64_MIN;
  std::array<char, 29> text_ = {};
};

}  // namespace tao::http
