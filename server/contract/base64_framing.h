#pragma once

// Whether the text of a data: URI is base64 as RFC 4648 section 4 writes it: its alphabet, a
// multiple of four characters, at most two of padding, at the end. It comes in pieces and is never
// held or decoded; bodies carry 100 MB of it, so this runs at the speed of memory.

#include <cstdint>
#include <string_view>

namespace tao::contract {

// The first byte of [at, end) that is not in base64's alphabet (padding is not), or `end`. By the
// best instructions that the machine has.
const char* SkipBase64(const char* at, const char* end);
// One byte after the other: the tests' reference.
const char* SkipBase64ByBytes(const char* at, const char* end);

// Externally synchronised.
class Base64Framing {
 public:
  enum class Fault {
    kNone,
    kEmpty,
    kForeignByte,   // bad_byte(), at bad_at()
    kAfterPadding,  // something follows the padding; likewise
    kPadding,       // more than two
    kLength,        // length() is no multiple of four
  };

  void Feed(std::string_view piece);
  Fault Finish() const;

  uint64_t length() const { return length_; }  // padding included
  char bad_byte() const { return bad_byte_; }
  uint64_t bad_at() const { return bad_at_; }

 private:
  uint64_t length_ = 0;
  uint64_t padding_ = 0;
  bool is_bad_ = false;
  char bad_byte_ = 0;
  uint64_t bad_at_ = 0;
};

}  // namespace tao::contract
