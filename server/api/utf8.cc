#include "server/api/utf8.h"

#include <algorithm>

#include "server/base/strings.h"

namespace tao::api {

std::string ToValidUtf8(std::string text) {
  if (base::IsValidUtf8(text)) return text;
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  return text;
}

std::string CutUtf8(std::string_view text, size_t max_bytes) {
  constexpr std::string_view kEllipsis = "...";
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes > kEllipsis.size() ? max_bytes - kEllipsis.size() : 0;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + std::string(kEllipsis.substr(0, max_bytes));
}

}  // namespace tao::api
