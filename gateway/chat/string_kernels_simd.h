#pragma once

#include <vector>

#include "gateway/chat/string_kernels.h"

namespace tao::chat {

// The vector kernels that were compiled for this architecture and that this machine can run, the
// best ones last; none on other architectures. Defined in string_kernels_x86.cc or _neon.cc.
std::vector<const StringKernels*> SimdStringKernels();

}  // namespace tao::chat
