#pragma once

// The inner command of an arch, word by word.

#include <string>

#include "server/launch/arch_options.h"
#include "server/launch/environment.h"
#include "server/launch/launch_plan.h"
#include "server/launch/model_path.h"

namespace tao::launch {

struct CommandInputs {
  const catalog::Catalog& catalog;
  const catalog::Arch& arch;
  const LaunchContext& context;
  const ModelSource& model;
  const OptionWords& options;
  const Variables& payload;  // the environment payload, in order
};

InnerCommand BuildInnerCommand(const CommandInputs& inputs);

// The variables of runtime_env_minimal_no_callbacks with their values.
Variables PayloadVariables(const catalog::Catalog& catalog, const catalog::Arch& arch,
                           const LaunchContext& context, const ModelSource& model);

}  // namespace tao::launch
