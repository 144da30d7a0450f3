#include "clients/cli/seconds_option.h"

#include <absl/strings/numbers.h>

namespace tao::cli {
namespace {

// Of google.protobuf.Duration: 10,000 years.
constexpr absl::Duration kLongest = absl::Seconds(315'576'000'000);

}  // namespace

std::optional<absl::Duration> ParseSeconds(const std::string& text) {
  absl::Duration value;
  if (double seconds = 0; absl::SimpleAtod(text, &seconds)) {
    value = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &value)) {
    return std::nullopt;
  }
  if (value < absl::ZeroDuration() || value > kLongest) return std::nullopt;
  return value;
}

CLI::Validator IsSeconds() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        if (ParseSeconds(text).has_value()) return "";
        return "not a time: \"" + text + "\"; write 90s, 10m, 1h30m, or a number of seconds";
      },
      "TIME");
}

google::protobuf::Duration ToProtoDuration(const std::string& text) {
  absl::Duration rest = ParseSeconds(text).value_or(absl::ZeroDuration());
  google::protobuf::Duration duration;
  duration.set_seconds(absl::IDivDuration(rest, absl::Seconds(1), &rest));
  duration.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return duration;
}

}  // namespace tao::cli
