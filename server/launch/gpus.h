#pragma once

// Which GPUs a request asks for.

#include "server/launch/request_check.h"

namespace tao::launch {

// The request with the operator's default mode filled in. That the GPUs exist is the platform's to
// say.
GpuRequest ReadGpus(const LaunchRequest& request, GpuMode default_mode, RequestCheck& check);

}  // namespace tao::launch
