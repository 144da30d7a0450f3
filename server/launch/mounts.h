#pragma once

// --mount and --hf-cache: host folders that a container sees.

#include <string_view>
#include <vector>

#include "server/launch/request_check.h"

namespace tao::launch {

// Where a container sees the folder of --hf-cache.
inline constexpr std::string_view kHfCacheDestination = "/hf-cache";

struct MountPlan {
  std::vector<Mount> mounts;  // paths without "." and doubled slashes
  std::string hf_home;        // HF_HOME inside the container; empty: not set
};

MountPlan ReadMounts(const LaunchRequest& request, const LaunchContext& context,
                     RequestCheck& check);

}  // namespace tao::launch
