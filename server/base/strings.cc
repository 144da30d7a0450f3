#include "server/base/strings.h"

#include <absl/strings/str_format.h>
#include <simdjson.h>

#include "server/base/secret.h"

namespace tao::base {

std::string Quoted(std::string_view text, size_t max_bytes) {
  // Before it is cut and escaped: what is left of a secret then is known to no redaction. More than
  // any secret behind the cut is of no interest.
  constexpr size_t kLongestSecret = size_t{64} << 10;
  const std::string safe = Redact(std::string(text.substr(0, max_bytes + kLongestSecret)));
  std::string out = "\"";
  for (const char c : std::string_view(safe).substr(0, max_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += absl::StrFormat("\\x%02x", byte);
    } else {
      out += c;
    }
  }
  out += '"';
  if (safe.size() > max_bytes) out += absl::StrFormat("... (%d bytes)", text.size());
  return out;
}

bool IsValidUtf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

std::string AsciiLower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string JoinedList(const std::vector<std::string>& items) {
  if (items.empty()) return "none";
  std::string out = items.front();
  for (size_t i = 1; i < items.size(); ++i) {
    out += i + 1 == items.size() ? " and " : ", ";
    out += items[i];
  }
  return out;
}

}  // namespace tao::base
