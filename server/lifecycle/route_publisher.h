#pragma once

// Turns every change of the registry into a route table and hands it on (to the gateway's workers,
// and to the API's Resolve). Thread-safe.

#include <functional>
#include <memory>

#include "server/base/mutex.h"
#include "server/lifecycle/parts.h"
#include "server/registry/registry.h"
#include "server/routing/route_table.h"

namespace tao::lifecycle {

class RoutePublisher : public registry::RegistryObserver {
 public:
  using Publish = std::function<void(std::shared_ptr<const routing::RouteTable>)>;

  // `parts` and its registry outlive it. `publish` must not block.
  RoutePublisher(const Parts& parts, Publish publish);

  void OnChange(const registry::ServiceRecord& record) override;
  std::shared_ptr<const routing::RouteTable> table() const;
  // Builds and publishes the table of what is there now.
  void PublishNow();

 private:
  const Parts& parts_;
  const Publish publish_;
  mutable base::Mutex mutex_;
  std::shared_ptr<const routing::RouteTable> table_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tao::lifecycle
