#pragma once

// What JSON strings are made of: UTF-8 characters and escape sequences, piece by piece. All pure.

#include <array>
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

// Bytes at the end of `text` that begin a character and do not end it; 0 if it ends with a whole
// one, or with what can be none.
size_t CutCharacterBytes(std::string_view text);

// The first byte of `text` that is not UTF-8, and where the character began that it breaks off;
// both text.size() if there is none. A character that the end cuts off breaks off there.
struct Utf8Error {
  size_t character;
  size_t byte;
};
Utf8Error FindUtf8Error(std::string_view text);

// The value of a hexadecimal digit of either case; -1 if it is none.
inline int HexDigit(char c) {
  static constexpr std::array<int8_t, 256> kDigits = [] {
    std::array<int8_t, 256> digits{};
    digits.fill(-1);
    for (int i = 0; i < 10; ++i) digits[static_cast<size_t>('0' + i)] = static_cast<int8_t>(i);
    for (int i = 0; i < 6; ++i) {
      digits[static_cast<size_t>('a' + i)] = digits[static_cast<size_t>('A' + i)] =
          static_cast<int8_t>(10 + i);
    }
    return digits;
  }();
  return kDigits[static_cast<unsigned char>(c)];
}

// The code unit of four hexadecimal digits; negative if one of them is none.
inline int32_t CodeUnit(const char* digits) {
  const int32_t a = HexDigit(digits[0]), b = HexDigit(digits[1]);
  const int32_t c = HexDigit(digits[2]), d = HexDigit(digits[3]);
  return (a | b | c | d) < 0 ? -1 : a << 12 | b << 8 | c << 4 | d;
}

// What the character after a backslash stands for; 0 if it is `u` or means nothing.
inline char SimpleEscape(char c) {
  static constexpr std::array<char, 256> kMeanings = [] {
    std::array<char, 256> meanings{};
    meanings['"'] = '"';
    meanings['\\'] = '\\';
    meanings['/'] = '/';
    meanings['b'] = '\b';
    meanings['f'] = '\f';
    meanings['n'] = '\n';
    meanings['r'] = '\r';
    meanings['t'] = '\t';
    return meanings;
  }();
  return kMeanings[static_cast<unsigned char>(c)];
}

inline bool IsHighSurrogate(int32_t unit) { return unit >= 0xd800 && unit <= 0xdbff; }
inline bool IsLowSurrogate(int32_t unit) { return unit >= 0xdc00 && unit <= 0xdfff; }
// The character beyond U+FFFF that the two mean together.
inline uint32_t SurrogatePair(int32_t high, int32_t low) {
  return 0x10000 + (static_cast<uint32_t>(high - 0xd800) << 10) +
         static_cast<uint32_t>(low - 0xdc00);
}

// Writes `code` at `out` (room for 4 bytes) and returns where it ends.
inline char* PutUtf8(char* out, uint32_t code) {
  const auto put = [&out](uint32_t byte) { *out++ = static_cast<char>(byte); };
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
  return out;
}

// Bytes of the escape sequence that `text` begins with, a surrogate pair as one of 12; 0 if it is
// cut off or wrong.
size_t WholeEscape(std::string_view text);

// What a whole, checked escape sequence (\n, \uXXXX, or two of these for a surrogate pair) means,
// in UTF-8.
std::string DecodedEscape(std::string_view escape);

}  // namespace tao::chat
