// SSE2, which every x86-64 has, and AVX2, which nearly every one has. AVX-512 would save nothing:
// the AVX2 loop already runs at the speed of memory.

#if defined(__x86_64__)

#include <immintrin.h>

#include <bit>

#include "gateway/chat/string_kernels_simd.h"

// Functions of their own instruction set, instead of a flag for the file: a flag would reach the
// inline functions of the headers, and the linker could take those copies for the whole program.
#define TAO_AVX2 __attribute__((target("avx2")))

namespace tao::chat {
namespace {

__m128i Load16(const char* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

// 0xff where a byte is a stop. Unsigned v <= 0x1f is min(v, 0x1f) == v.
__m128i Stops16(__m128i bytes) {
  const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
  const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
  return _mm_or_si128(_mm_or_si128(quote, backslash), control);
}

uint64_t Mask16(__m128i bytes) { return static_cast<uint32_t>(_mm_movemask_epi8(bytes)); }

// The bits below the lowest one of `stops`.
uint64_t Before(uint64_t stops) { return (stops - 1) & ~stops; }

PlainRun Sse2PlainRun(const char* at, const char* end) {
  __m128i seen = _mm_setzero_si128();
  for (; end - at >= 16; at += 16) {
    const __m128i bytes = Load16(at);
    const uint64_t stops = Mask16(Stops16(bytes));
    if (stops != 0) {
      const bool ascii = (Mask16(seen) | (Mask16(bytes) & Before(stops))) == 0;
      return {at + std::countr_zero(stops), ascii};
    }
    seen = _mm_or_si128(seen, bytes);
  }
  const PlainRun rest = PlainRunByBytes(at, end);
  return {rest.stop, rest.ascii && Mask16(seen) == 0};
}

BlockMasks Sse2Block(const char* at) {
  BlockMasks masks{0, 0};
  for (int i = 0; i < kStringBlockBytes; i += 16) {
    const __m128i bytes = Load16(at + i);
    masks.stops |= Mask16(Stops16(bytes)) << i;
    masks.non_ascii |= Mask16(bytes) << i;
  }
  return masks;
}

TAO_AVX2 inline __m256i Load32(const char* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

TAO_AVX2 inline __m256i Stops32(__m256i bytes) {
  const __m256i quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
  const __m256i backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
  const __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
  return _mm256_or_si256(_mm256_or_si256(quote, backslash), control);
}

TAO_AVX2 inline uint64_t Mask64(__m256i low, __m256i high) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(low)) |
         static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(high))) << 32;
}

TAO_AVX2 PlainRun Avx2PlainRun(const char* at, const char* end) {
  __m256i seen = _mm256_setzero_si256();
  for (; end - at >= 64; at += 64) {
    const __m256i low = Load32(at), high = Load32(at + 32);
    const __m256i low_stops = Stops32(low), high_stops = Stops32(high);
    const __m256i any = _mm256_or_si256(low_stops, high_stops);
    if (!_mm256_testz_si256(any, any)) {
      const uint64_t stops = Mask64(low_stops, high_stops);
      const uint64_t non_ascii = Mask64(low, high) & Before(stops);
      return {at + std::countr_zero(stops), (non_ascii | Mask64(seen, seen)) == 0};
    }
    seen = _mm256_or_si256(seen, _mm256_or_si256(low, high));
  }
  const bool ascii = Mask64(seen, seen) == 0;
  const PlainRun rest = Sse2PlainRun(at, end);
  return {rest.stop, rest.ascii && ascii};
}

TAO_AVX2 BlockMasks Avx2Block(const char* at) {
  const __m256i low = Load32(at), high = Load32(at + 32);
  return {Mask64(Stops32(low), Stops32(high)), Mask64(low, high)};
}

}  // namespace

std::vector<const StringKernels*> SimdStringKernels() {
  static constexpr StringKernels kSse2{"sse2", Sse2PlainRun, Sse2Block};
  static constexpr StringKernels kAvx2{"avx2", Avx2PlainRun, Avx2Block};
  if (__builtin_cpu_supports("avx2")) return {&kSse2, &kAvx2};
  return {&kSse2};
}

}  // namespace tao::chat

#endif  // __x86_64__
