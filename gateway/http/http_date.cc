#include "gateway/http/http_date.h"

#include <ctime>

#include <algorithm>

namespace tao::http {
namespace {

// The names of RFC 9110: strftime would take the locale's.
constexpr std::string_view kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

char* PutText(char* at, std::string_view text) { return std::copy(text.begin(), text.end(), at); }

char* PutNumber(char* at, int value, int digits) {
  for (int i = digits - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
  return at + digits;
}

}  // namespace

std::string_view HttpDate::Format(absl::Time now) {
  const int64_t second = absl::ToUnixSeconds(now);
  if (second != second_) {
    second_ = second;
    const std::time_t time = static_cast<std::time_t>(second);
    std::tm utc{};
    ::gmtime_r(&time, &utc);
    char* at = text_.data();
    at = PutText(at, kDays[utc.tm_wday]);
    at = PutText(at, ", ");
    at = PutNumber(at, utc.tm_mday, 2);
    at = PutText(at, " ");
    at = PutText(at, kMonths[utc.tm_mon]);
    at = PutText(at, " ");
    at = PutNumber(at, utc.tm_year + 1900, 4);
    at = PutText(at, " ");
    at = PutNumber(at, utc.tm_hour, 2);
    at = PutText(at, ":");
    at = PutNumber(at, utc.tm_min, 2);
    at = PutText(at, ":");
    at = PutNumber(at, utc.tm_sec, 2);
    PutText(at, " GMT");
  }
  return {text_.data(), text_.size()};
}

}  // namespace tao::http
