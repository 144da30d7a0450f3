#pragma once

// A text cut for people, on a character's boundary.

#include <string>
#include <string_view>

namespace tao::reference_backend {

// The longest start of UTF-8 `text` that has at most `max_bytes` bytes and ends between two
// characters.
inline std::string_view Utf8Prefix(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  while (max_bytes > 0 && (static_cast<unsigned char>(text[max_bytes]) & 0xC0) == 0x80) --max_bytes;
  return text.substr(0, max_bytes);
}

// `text` itself, or its start and "...".
inline std::string Excerpt(std::string_view text, size_t max_bytes) {
  const std::string_view start = Utf8Prefix(text, max_bytes);
  return std::string(start) + (start.size() < text.size() ? "..." : "");
}

}  // namespace tao::reference_backend
