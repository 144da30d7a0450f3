// NEON, which every 64-bit ARM has (GH200 and Jetson hosts).

#if defined(__aarch64__)

#include <arm_neon.h>

#include <bit>

#include "gateway/chat/string_kernels_simd.h"

namespace tao::chat {
namespace {

uint8x16_t Load16(const char* at) { return vld1q_u8(reinterpret_cast<const uint8_t*>(at)); }

// 0xff where a byte is a stop.
uint8x16_t Stops16(uint8x16_t bytes) {
  const uint8x16_t quote = vceqq_u8(bytes, vdupq_n_u8('"'));
  const uint8x16_t backslash = vceqq_u8(bytes, vdupq_n_u8('\\'));
  const uint8x16_t control = vcltq_u8(bytes, vdupq_n_u8(0x20));
  return vorrq_u8(vorrq_u8(quote, backslash), control);
}

uint8x16_t NonAscii16(uint8x16_t bytes) { return vcgeq_u8(bytes, vdupq_n_u8(0x80)); }

// One bit a byte, of four vectors whose bytes are 0 or 0xff. NEON has no movemask: every byte keeps
// the bit of its place in eight, and three rounds of pairwise sums bring eight bytes into one.
uint64_t Mask64(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
  static constexpr uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t bits = vld1q_u8(kBits);
  const uint8x16_t ab = vpaddq_u8(vandq_u8(a, bits), vandq_u8(b, bits));
  const uint8x16_t cd = vpaddq_u8(vandq_u8(c, bits), vandq_u8(d, bits));
  const uint8x16_t abcd = vpaddq_u8(ab, cd);
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(abcd, abcd)), 0);
}

BlockMasks NeonBlock(const char* at) {
  const uint8x16_t a = Load16(at), b = Load16(at + 16), c = Load16(at + 32), d = Load16(at + 48);
  return {Mask64(Stops16(a), Stops16(b), Stops16(c), Stops16(d)),
          Mask64(NonAscii16(a), NonAscii16(b), NonAscii16(c), NonAscii16(d))};
}

PlainRun NeonPlainRun(const char* at, const char* end) {
  uint8x16_t seen = vdupq_n_u8(0);
  for (; end - at >= kStringBlockBytes; at += kStringBlockBytes) {
    const uint8x16_t a = Load16(at), b = Load16(at + 16), c = Load16(at + 32), d = Load16(at + 48);
    const uint8x16_t any =
        vorrq_u8(vorrq_u8(Stops16(a), Stops16(b)), vorrq_u8(Stops16(c), Stops16(d)));
    if (vmaxvq_u8(any) != 0) {
      const BlockMasks masks = NeonBlock(at);
      const uint64_t before = (masks.stops - 1) & ~masks.stops;
      return {at + std::countr_zero(masks.stops),
              vmaxvq_u8(seen) < 0x80 && (masks.non_ascii & before) == 0};
    }
    seen = vorrq_u8(seen, vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d)));
  }
  const PlainRun rest = PlainRunByBytes(at, end);
  return {rest.stop, rest.ascii && vmaxvq_u8(seen) < 0x80};
}

}  // namespace

std::vector<const StringKernels*> SimdStringKernels() {
  static constexpr StringKernels kNeon{"neon", NeonPlainRun, NeonBlock};
  return {&kNeon};
}

}  // namespace tao::chat

#endif  // __aarch64__
