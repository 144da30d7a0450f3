#include "gateway/chat/string_kernels.h"

#include "gateway/chat/string_kernels_simd.h"

namespace tao::chat {
namespace {

bool IsStop(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; }

BlockMasks PortableBlock(const char* at) {
  BlockMasks masks{0, 0};
  for (int i = 0; i < kStringBlockBytes; ++i) {
    masks.stops |= static_cast<uint64_t>(IsStop(at[i])) << i;
    masks.non_ascii |= static_cast<uint64_t>(static_cast<unsigned char>(at[i]) >> 7) << i;
  }
  return masks;
}

}  // namespace

#if !defined(__x86_64__) && !defined(__aarch64__)
std::vector<const StringKernels*> SimdStringKernels() { return {}; }
#endif

const StringKernels& PortableStringKernels() {
  static constexpr StringKernels kPortable{"portable", PlainRunByBytes, PortableBlock};
  return kPortable;
}

std::vector<const StringKernels*> AvailableStringKernels() {
  std::vector<const StringKernels*> kernels{&PortableStringKernels()};
  for (const StringKernels* simd : SimdStringKernels()) kernels.push_back(simd);
  return kernels;
}

const StringKernels& BestStringKernels() {
  static const StringKernels& best = *AvailableStringKernels().back();
  return best;
}

}  // namespace tao::chat
