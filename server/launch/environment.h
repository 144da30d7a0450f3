#pragma once

// The environment of a container: ours, the caller's, and the secrets by name.

#include <string>
#include <utility>
#include <vector>

#include "server/launch/request_check.h"

namespace tao::launch {

using Variables = std::vector<std::pair<std::string, std::string>>;

// `--env`, checked: sorted by name. Only plain names of service.yaml pass.
Variables ReadCallerEnv(const LaunchRequest& request, const catalog::Catalog& catalog,
                        RequestCheck& check);

// Names of secrets that the daemon's environment has now, for the container.
std::vector<std::string> SecretsToPassOn(const catalog::Catalog& catalog,
                                         const catalog::EnvironmentLookup& environment);

// FailedPrecondition when a secret that the arch cannot do without is not set.
absl::Status CheckRequiredSecrets(const catalog::Arch& arch,
                                  const catalog::EnvironmentLookup& environment);

}  // namespace tao::launch
