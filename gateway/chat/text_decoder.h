#pragma once

// Decodes JSON string text that is full of escapes into larger pieces: program text and JSON in a
// string have an escape every few bytes, and an event for each would cost more than the scan.
// Pure.

#include <cstddef>
#include <span>

#include "gateway/chat/string_kernels.h"

namespace tao::chat {

// DecodeText needs to see that far: a block, and the longest escape that begins in its last byte.
inline constexpr ptrdiff_t kDecodeAhead = 80;
// Of the buffer, at least.
inline constexpr size_t kDecodeRoom = 256;

struct DecodedText {
  enum class End {
    kStop,   // a quote, a control, or an escape that is wrong
    kInput,  // less than kDecodeAhead is left
    kRoom,   // the buffer is full
    kPlain,  // some hundred bytes without escapes came last: better passed on as they stand
  };
  const char* stop;  // where it ended; all before it is in the buffer
  size_t size;       // bytes in the buffer
  bool ascii;  // false: what was copied may hold bytes that are not ASCII, which are unchecked
  End end;
};

DecodedText DecodeText(const StringKernels& kernels, const char* at, const char* end,
                       std::span<char> buffer);

}  // namespace tao::chat
