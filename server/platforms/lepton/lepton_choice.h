#pragma once

// Pure: where a new endpoint goes, out of what the workspace has.

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "server/launch/launch_plan.h"
#include "server/platforms/lepton/lepton_parse.h"

namespace tao::platforms {

// The ids of `names`, which a comma separates; an id is its own name. FailedPrecondition lists the
// groups that are there.
absl::StatusOr<std::vector<std::string>> LeptonNodeGroupIds(
    std::string_view names, const std::vector<LeptonNodeGroup>& groups);

// `asked` when it is among them; when it is empty the first by name with as many GPUs as
// `gpus` wants, the smallest without any for GpuMode::kNone. FailedPrecondition lists what there
// is.
absl::StatusOr<std::string> ChooseLeptonShape(std::string_view asked,
                                              const launch::GpuRequest& gpus,
                                              const std::vector<LeptonShape>& shapes);

}  // namespace tao::platforms
