#pragma once

// What the API works on. Owned by main, alive until the ApiServer is destroyed.

#include <functional>
#include <memory>

#include "gateway/gateway.h"
#include "server/catalog/catalog.h"
#include "server/lifecycle/lifecycle.h"
#include "server/readiness/hub.h"
#include "server/registry/registry.h"
#include "server/routing/route_table.h"

namespace tao::api {

struct ApiDependencies {
  lifecycle::Lifecycle* lifecycle = nullptr;
  registry::Registry* registry = nullptr;
  readiness::Hub* hub = nullptr;
  gateway::Gateway* gateway = nullptr;
  const catalog::Catalog* catalog = nullptr;
  // The table that requests are routed by now; never null. Called from any thread, must not block.
  std::function<std::shared_ptr<const routing::RouteTable>()> route_table;
};

}  // namespace tao::api
