#pragma once

// A start request that is right, and what is needed to plan it.

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "server/launch/launch_plan.h"

namespace tao::launch {

inline constexpr char kJobId[] = "0f8fad5b-d9cb-469f-a165-70867728950e";

inline std::shared_ptr<const catalog::Catalog> LoadCatalog(
    const std::string& folder = std::string(TAO_SOURCE_DIR) + "/references") {
  const auto catalog = catalog::Catalog::Load(folder);
  EXPECT_TRUE(catalog.ok()) << catalog.status();
  return catalog.ok() ? *catalog : nullptr;
}

// The release's references, loaded once.
inline const catalog::Catalog& ReleaseCatalog() {
  static const auto* const catalog = new std::shared_ptr<const catalog::Catalog>(LoadCatalog());
  return **catalog;
}

using Environment = std::map<std::string, std::string>;

inline LaunchContext ContextWith(Environment environment = {}) {
  LaunchContext context;
  context.job_id = kJobId;
  context.platform = "local-docker";
  context.execution_backend = "local-docker";
  context.environment = [environment = std::move(environment)](
                            const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    if (found == environment.end()) return std::nullopt;
    return found->second;
  };
  return context;
}

inline LaunchRequest RequestFor(const std::string& arch, const std::string& model_path) {
  LaunchRequest request;
  request.network_arch = arch;
  request.platform = "local-docker";
  request.model_path = model_path;
  return request;
}

}  // namespace tao::launch
