#include "gateway/chat/json_text.h"

#include <algorithm>

namespace tao::chat {

size_t CutCharacterBytes(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return Utf8Bytes(byte) > back ? back : 0;
  }
  return 0;
}

Utf8Error FindUtf8Error(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t bytes = lead < 0x80 ? 1 : Utf8Bytes(lead);
    if (bytes == 0) return {at, at};
    for (size_t i = 1; i < bytes; ++i) {
      if (at + i == text.size() ||
          !ContinuesUtf8(lead, i, static_cast<unsigned char>(text[at + i]))) {
        return {at, at + i};
      }
    }
    at += bytes;
  }
  return {text.size(), text.size()};
}

size_t WholeEscape(std::string_view text) {
  if (text.size() < 2) return 0;
  if (SimpleEscape(text[1]) != 0) return 2;
  if (text[1] != 'u' || text.size() < 6) return 0;
  const int32_t unit = CodeUnit(text.data() + 2);
  if (unit < 0 || IsLowSurrogate(unit)) return 0;
  if (!IsHighSurrogate(unit)) return 6;
  const bool pair = text.size() >= 12 && text[6] == '\\' && text[7] == 'u' &&
                    IsLowSurrogate(CodeUnit(text.data() + 8));
  return pair ? 12 : 0;
}

std::string DecodedEscape(std::string_view escape) {
  if (escape[1] != 'u') return std::string(1, SimpleEscape(escape[1]));
  const int32_t unit = CodeUnit(escape.data() + 2);
  const uint32_t code = IsHighSurrogate(unit) ? SurrogatePair(unit, CodeUnit(escape.data() + 8))
                                              : static_cast<uint32_t>(unit);
  char text[4];
  return std::string(text, PutUtf8(text, code));
}

}  // namespace tao::chat
