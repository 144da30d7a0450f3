#pragma once

// What the bytes of a JSON string are, 64 at a time. Bodies carry 100 MB of base64 in one string,
// so this is where a scan's time goes. One implementation for each instruction set; the best one
// that the machine has is chosen once, at run time. All pure and thread-safe.
//
// A stop is a byte that plain text of a string cannot hold: a quote, a backslash or a control below
// 0x20. Bytes from 0x80 on are no stops; whether they are UTF-8 is the caller's question, and only
// where they occur.

#include <cstdint>
#include <string_view>
#include <vector>

namespace tao::chat {

struct PlainRun {
  const char* stop;  // the first stop, or the end
  bool ascii;        // every byte before it is below 0x80
};

// Bit i is byte i of the block.
struct BlockMasks {
  uint64_t stops;
  uint64_t non_ascii;
};

inline constexpr int kStringBlockBytes = 64;

struct StringKernels {
  std::string_view name;
  // The text from `at` up to the first stop before `end`. Reads nothing outside of [at, end).
  PlainRun (*plain_run)(const char* at, const char* end);
  // Judges the kStringBlockBytes bytes at `at`.
  BlockMasks (*block)(const char* at);
};

inline PlainRun PlainRunByBytes(const char* at, const char* end) {
  unsigned char seen = 0;
  for (; at != end; ++at) {
    const auto byte = static_cast<unsigned char>(*at);
    if (byte < 0x20 || byte == '"' || byte == '\\') break;
    seen |= byte;
  }
  return {at, seen < 0x80};
}

// One byte after the other: for machines without the others, and the tests' reference.
const StringKernels& PortableStringKernels();

// Those that this machine can run, the portable ones first, the best ones last.
std::vector<const StringKernels*> AvailableStringKernels();

const StringKernels& BestStringKernels();

}  // namespace tao::chat
