#include "gateway/request_wishes.h"

#include <absl/strings/numbers.h>

#include <string_view>

#include "gateway/http/grammar.h"
#include "server/base/strings.h"

namespace tao::gateway {

using http::Field;
using http::FieldId;

namespace {

constexpr double kMostSeconds = 7 * 24 * 3600;

// Digits, and a point between them; nothing else that a number may look like.
std::optional<absl::Duration> ParseSeconds(std::string_view text) {
  double seconds = 0;
  if (text.empty() || text.find_first_not_of("0123456789.") != std::string_view::npos ||
      !absl::SimpleAtod(base::ToAbsl(text), &seconds) || seconds <= 0 || seconds > kMostSeconds) {
    return std::nullopt;
  }
  return absl::Seconds(seconds);
}

std::optional<absl::Duration> TimeoutNamed(const http::FieldList& fields, FieldId id) {
  return fields.Has(id) ? ParseSeconds(fields.ValueOf(id)) : std::nullopt;
}

// What comes before the first `separator`; `rest` keeps what follows. A separator inside quotes
// separates too: no preference that we know has one in its value.
std::string_view TakeUntil(std::string_view* rest, char separator) {
  const size_t end = rest->find(separator);
  const std::string_view taken = rest->substr(0, end);
  *rest = end == std::string_view::npos ? std::string_view() : rest->substr(end + 1);
  return http::TrimOws(taken);
}

// The `wait` of one Prefer line: preference = token [ "=" word ] *( ";" parameter ).
std::optional<absl::Duration> WaitIn(std::string_view line) {
  while (!line.empty()) {
    std::string_view preference = TakeUntil(&line, ',');
    std::string_view value = TakeUntil(&preference, ';');
    if (!http::EqualsIgnoreCase(TakeUntil(&value, '='), "wait")) continue;
    value = http::TrimOws(value);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return ParseSeconds(value);
  }
  return std::nullopt;
}

}  // namespace

RequestWishes ReadWishes(const http::FieldList& fields) {
  RequestWishes wishes;
  if (const auto read = TimeoutNamed(fields, FieldId::kXStainlessReadTimeout)) {
    wishes.timeouts.first_byte = wishes.timeouts.between_bytes = read;
  }
  if (const auto head = TimeoutNamed(fields, FieldId::kXStainlessTimeout)) {
    wishes.timeouts.first_byte =
        std::min(*head, wishes.timeouts.first_byte.value_or(absl::InfiniteDuration()));
  }
  if (!fields.Has(FieldId::kPrefer)) return wishes;
  for (const Field& field : fields) {
    if (field.id != FieldId::kPrefer) continue;
    wishes.wait = WaitIn(field.value);
    if (wishes.wait.has_value()) break;  // of several the first counts (RFC 7240 section 2)
  }
  return wishes;
}

}  // namespace tao::gateway
