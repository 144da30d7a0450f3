#pragma once

// Turns every change of the registry into a route table and hands it on (to the gateway's workers,
// and to the API's Resolve). Thread-safe.

#include <functional>
#include <memory>

#include "server/base/mutex.h"
#include "server/registry/registry.h"
#include "server/routing/route_table.h"

namespace tao::lifecycle {

// Where `record` answers: its host_url, dialled; localhost as 127.0.0.1. Port 0 while there is
// none.
routing::Backend BackendOf(const registry::ServiceRecord& record);

class RoutePublisher : public registry::RegistryObserver {
 public:
  using Publish = std::function<void(std::shared_ptr<const routing::RouteTable>)>;

  // `registry` outlives it. `publish` must not block.
  RoutePublisher(const registry::Registry& registry, Publish publish);

  void OnChange(const registry::ServiceRecord& record) override;
  std::shared_ptr<const routing::RouteTable> table() const;
  // Builds and publishes the table of what is there now.
  void PublishNow();

 private:
  const registry::Registry& registry_;
  const Publish publish_;
  mutable base::Mutex mutex_;
  std::shared_ptr<const routing::RouteTable> table_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tao::lifecycle
