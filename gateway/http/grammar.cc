#include "gateway/http/grammar.h"

#include <array>

namespace tao::http {
namespace {

enum CharClass : uint8_t { kTokenClass = 1, kValueClass = 2, kTargetClass = 4 };

constexpr std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> classes{};
  const auto add = [&classes](std::string_view chars, uint8_t bits) {
    for (const char c : chars) classes[static_cast<unsigned char>(c)] |= bits;
  };
  constexpr std::string_view kAlphanumeric =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  add(kAlphanumeric, kTokenClass | kTargetClass);
  add("!#$%&'*+-.^_`|~", kTokenClass);
  // RFC 3986: unreserved, sub-delims, and the rest of pchar, "/", "?" and "%"; "[" and "]" besides.
  add("-._~!$&'()*+,;=:@/?%[]", kTargetClass);
  for (size_t c = 0x20; c < 256; ++c) {
    if (c != 0x7f) classes[c] |= kValueClass;
  }
  classes['\t'] |= kValueClass;
  return classes;
}

constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

bool Is(char c, CharClass wanted) {
  return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0;
}

bool AllAre(std::string_view text, CharClass wanted) {
  uint8_t classes = wanted;
  for (const char c : text) classes &= kClasses[static_cast<unsigned char>(c)];
  return classes != 0;
}

}  // namespace

bool IsTokenChar(char c) { return Is(c, kTokenClass); }
bool IsFieldValueChar(char c) { return Is(c, kValueClass); }
bool IsTargetChar(char c) { return Is(c, kTargetClass); }

bool IsToken(std::string_view text) { return !text.empty() && AllAre(text, kTokenClass); }
size_t TokenLength(std::string_view text) {
  size_t length = 0;
  while (length < text.size() && Is(text[length], kTokenClass)) ++length;
  return length;
}
bool IsFieldValue(std::string_view text) {
  // kValueClass without a table, so that the compiler looks at many bytes at once: values are long.
  bool bad = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    bad |= (byte < 0x20 && byte != '\t') || byte == 0x7f;
  }
  return !bad;
}
bool IsTarget(std::string_view text) { return !text.empty() && AllAre(text, kTargetClass); }

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = LowerChar(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (LowerChar(a[i]) != LowerChar(b[i])) return false;
  }
  return true;
}

std::string_view TrimOws(std::string_view text) {
  while (!text.empty() && IsOws(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsOws(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  if (text.empty() || text.size() > 19) return std::nullopt;  // 2^63-1 has 19 digits
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  uint64_t value = 0;  // 19 digits fit in 64 bits
  for (const char c : text) {
    if (!IsDigit(c)) return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return value;
}

bool TokenListReader::Next(std::string_view* token) {
  while (!at_end_ && !invalid_) {
    const size_t comma = rest_.find(',');
    const std::string_view element = TrimOws(rest_.substr(0, comma));
    if (comma == std::string_view::npos) {
      at_end_ = true;
    } else {
      rest_.remove_prefix(comma + 1);
    }
    if (element.empty()) {
      saw_empty_element_ = true;
      continue;
    }
    if (!IsToken(element)) {
      invalid_ = true;
      break;
    }
    *token = element;
    return true;
  }
  return false;
}

bool HasMediaType(std::string_view content_type, std::string_view media_type) {
  return EqualsIgnoreCase(TrimOws(content_type.substr(0, content_type.find(';'))), media_type);
}

}  // namespace tao::http
