#include "gateway/chat/text_decoder.h"

#include <bit>
#include <cstring>

#include "gateway/chat/json_text.h"

namespace tao::chat {
namespace {

// Blocks without a stop, one after the other, that end the decoding.
constexpr int kPlainBlocks = 4;

// Copies [from, to) in steps of 16: both sides have room for a whole last step. A memcpy of a size
// that only the run time knows would be a call for every escape.
void Append(char*& out, const char* from, const char* to) {
  const auto size = to - from;
  for (ptrdiff_t done = 0; done < size; done += 16) std::memcpy(out + done, from + done, 16);
  out += size;
}

// Decodes the \uXXXX or the pair of them at `at` (12 bytes can be read) to `out`; null if it is
// wrong, or another escape.
const char* DecodeUnicodeEscape(const char* at, char*& out) {
  if (at[1] != 'u') return nullptr;
  const int32_t unit = CodeUnit(at + 2);
  if (unit < 0 || IsLowSurrogate(unit)) return nullptr;
  if (!IsHighSurrogate(unit)) {
    out = PutUtf8(out, static_cast<uint32_t>(unit));
    return at + 6;
  }
  if (at[6] != '\\' || at[7] != 'u') return nullptr;
  const int32_t low = CodeUnit(at + 8);
  if (!IsLowSurrogate(low)) return nullptr;
  out = PutUtf8(out, SurrogatePair(unit, low));
  return at + 12;
}

}  // namespace

DecodedText DecodeText(const StringKernels& kernels, const char* at, const char* end,
                       std::span<char> buffer) {
  using End = DecodedText::End;
  char* out = buffer.data();
  const char* const full = buffer.data() + buffer.size() - 2 * kStringBlockBytes;
  uint64_t non_ascii = 0;
  int plain_blocks = 0;
  const auto ended = [&](End why) {
    return DecodedText{at, static_cast<size_t>(out - buffer.data()), non_ascii == 0, why};
  };
  while (true) {
    if (end - at < kDecodeAhead) return ended(End::kInput);
    if (out > full) return ended(End::kRoom);
    const BlockMasks block = kernels.block(at);
    non_ascii |= block.non_ascii;
    // The stops are all known from here on: going from one escape to the next waits for no load,
    // and past one of two bytes not even for its place.
    const char* const begin = at;
    uint64_t stops = block.stops;
    plain_blocks = stops == 0 ? plain_blocks + 1 : 0;
    while (stops != 0) {
      const char* const stop = begin + std::countr_zero(stops);
      Append(out, at, stop);
      at = stop;
      if (*at != '\\') return ended(End::kStop);
      if (const char meaning = SimpleEscape(at[1]); meaning != 0) {
        *out++ = meaning;
        at += 2;
        stops &= ~(3 * (stops & -stops));  // what is escaped is no stop
        continue;
      }
      const char* const next = DecodeUnicodeEscape(at, out);
      if (next == nullptr) return ended(End::kStop);
      at = next;
      if (at - begin >= kStringBlockBytes) break;
      stops &= ~uint64_t{0} << (at - begin);
    }
    if (const char* const rest = begin + kStringBlockBytes; at < rest) {
      Append(out, at, rest);
      at = rest;
    }
    if (plain_blocks == kPlainBlocks) return ended(End::kPlain);
  }
}

}  // namespace tao::chat
