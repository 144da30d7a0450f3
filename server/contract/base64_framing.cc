#include "server/contract/base64_framing.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tao::contract {
namespace {

// 0 for a byte of the alphabet, else 0x80.
constexpr std::array<uint8_t, 256> kForeign = [] {
  std::array<uint8_t, 256> foreign{};
  for (uint8_t& each : foreign) each = 0x80;
  for (const char c : std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789+/")) {
    foreign[static_cast<unsigned char>(c)] = 0;
  }
  return foreign;
}();

// The first whole block of the kernels' size that is not all base64, or where too little is left.
using SkipBlocks = const char* (*)(const char* at, const char* end);

const char* NoBlocks(const char* at, const char*) { return at; }

#if defined(__x86_64__)

// Functions of their own instruction set, as in gateway/chat/string_kernels_x86.cc.
#define TAO_AVX2 __attribute__((target("avx2")))
#define TAO_VBMI __attribute__((target("avx512f,avx512bw,avx512vbmi")))

// Muła's tables: a byte belongs to the alphabet when the entries of its two halves share no bit.
TAO_AVX2 inline __m256i Foreign32(__m256i bytes) {
  const __m256i low =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                                0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a));
  const __m256i high =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08,
                                                0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10));
  const __m256i half = _mm256_set1_epi8(0x0f);
  return _mm256_and_si256(
      _mm256_shuffle_epi8(low, _mm256_and_si256(bytes, half)),
      _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi32(bytes, 4), half)));
}

TAO_AVX2 const char* Avx2Blocks(const char* at, const char* end) {
  for (; end - at >= 128; at += 128) {
    __m256i foreign = _mm256_setzero_si256();
    for (int i = 0; i < 128; i += 32) {
      foreign = _mm256_or_si256(
          foreign, Foreign32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + i))));
    }
    if (!_mm256_testz_si256(foreign, foreign)) break;
  }
  return at;
}

// One look-up for 64 bytes; those beyond ASCII show by themselves.
TAO_VBMI const char* VbmiBlocks(const char* at, const char* end) {
  const __m512i low = _mm512_loadu_si512(kForeign.data());
  const __m512i high = _mm512_loadu_si512(kForeign.data() + 64);
  for (; end - at >= 256; at += 256) {
    __m512i foreign = _mm512_setzero_si512();
    for (int i = 0; i < 256; i += 64) {
      const __m512i bytes = _mm512_loadu_si512(at + i);
      foreign = _mm512_ternarylogic_epi64(
          foreign, bytes, _mm512_permutex2var_epi8(low, bytes, high), 0xfe);  // a | b | c
    }
    if (_mm512_movepi8_mask(foreign) != 0) break;
  }
  return at;
}

SkipBlocks BestBlocks() {
  if (__builtin_cpu_supports("avx512vbmi")) return VbmiBlocks;
  if (__builtin_cpu_supports("avx2")) return Avx2Blocks;
  return NoBlocks;
}

#else

SkipBlocks BestBlocks() { return NoBlocks; }

#endif

// Eight at a time, without a branch for each.
const char* SkipEights(const char* at, const char* end) {
  const auto foreign = [](char c) { return kForeign[static_cast<unsigned char>(c)]; };
  for (; end - at >= 8; at += 8) {
    if ((foreign(at[0]) | foreign(at[1]) | foreign(at[2]) | foreign(at[3]) | foreign(at[4]) |
         foreign(at[5]) | foreign(at[6]) | foreign(at[7])) != 0) {
      break;
    }
  }
  return at;
}

}  // namespace

const char* SkipBase64ByBytes(const char* at, const char* end) {
  while (at != end && kForeign[static_cast<unsigned char>(*at)] == 0) ++at;
  return at;
}

const char* SkipBase64(const char* at, const char* end) {
  static const SkipBlocks skip_blocks = BestBlocks();
  return SkipBase64ByBytes(SkipEights(skip_blocks(at, end), end), end);
}

void Base64Framing::Feed(std::string_view piece) {
  const char* at = piece.data();
  const char* const end = at + piece.size();
  if (!is_bad_) {
    if (padding_ == 0) at = SkipBase64(at, end);
    for (; at != end && *at == '='; ++at) ++padding_;
    if (at != end) {
      is_bad_ = true;
      bad_byte_ = *at;
      bad_at_ = length_ + static_cast<uint64_t>(at - piece.data());
    }
  }
  length_ += piece.size();
}

Base64Framing::Fault Base64Framing::Finish() const {
  if (is_bad_) return padding_ == 0 ? Fault::kForeignByte : Fault::kAfterPadding;
  if (length_ == 0) return Fault::kEmpty;
  if (padding_ > 2) return Fault::kPadding;
  return length_ % 4 == 0 ? Fault::kNone : Fault::kLength;
}

}  // namespace tao::contract
