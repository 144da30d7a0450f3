#include "gateway/chat/json_text.h"

namespace tao::chat {
namespace {

void AppendUtf8(std::string& out, uint32_t code) {
  const auto put = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

}  // namespace

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

uint32_t EscapedUnit(std::string_view escape) {
  uint32_t unit = 0;
  for (size_t i = 2; i < 6; ++i) unit = unit << 4 | static_cast<uint32_t>(HexDigit(escape[i]));
  return unit;
}

std::string DecodedEscape(std::string_view escape) {
  switch (escape[1]) {
    case 'b':
      return "\b";
    case 'f':
      return "\f";
    case 'n':
      return "\n";
    case 'r':
      return "\r";
    case 't':
      return "\t";
    case 'u': {
      uint32_t code = EscapedUnit(escape);
      if (IsHighSurrogate(code)) {
        code = 0x10000 + ((code - 0xd800) << 10) + (EscapedUnit(escape.substr(6)) - 0xdc00);
      }
      std::string out;
      AppendUtf8(out, code);
      return out;
    }
    default:
      return std::string(1, escape[1]);
  }
}

}  // namespace tao::chat
