#pragma once

// What JSON strings are made of: UTF-8 characters and escape sequences, piece by piece. All pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tao::chat {

// Bytes of the UTF-8 character that begins with `lead` (RFC 3629 section 4); 0 if none does.
inline size_t Utf8Bytes(unsigned char lead) {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

// Whether `byte` may stand at `index` (from 1) of the character: no overlong forms, no surrogates,
// nothing above U+10FFFF, all of which the second byte decides.
inline bool ContinuesUtf8(unsigned char lead, size_t index, unsigned char byte) {
  if (index == 1) {
    if (lead == 0xe0) return byte >= 0xa0 && byte <= 0xbf;
    if (lead == 0xed) return byte >= 0x80 && byte <= 0x9f;
    if (lead == 0xf0) return byte >= 0x90 && byte <= 0xbf;
    if (lead == 0xf4) return byte >= 0x80 && byte <= 0x8f;
  }
  return byte >= 0x80 && byte <= 0xbf;
}

// The value of a hexadecimal digit of either case; -1 if it is none.
int HexDigit(char c);

// The code unit of the \uXXXX that `escape` begins with; the digits have been checked.
uint32_t EscapedUnit(std::string_view escape);

inline bool IsHighSurrogate(uint32_t unit) { return unit >= 0xd800 && unit <= 0xdbff; }
inline bool IsLowSurrogate(uint32_t unit) { return unit >= 0xdc00 && unit <= 0xdfff; }

// What a whole, checked escape sequence (\n, \uXXXX, or two of these for a surrogate pair) means,
// in UTF-8.
std::string DecodedEscape(std::string_view escape);

}  // namespace tao::chat
