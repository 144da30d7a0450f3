#pragma once

// Turns every change of the registry into a route table and hands it on (to the gateway's workers,
// and to the API's Resolve). Thread-safe.
//
// A table is published before OnChange returns, so that whoever was told of a change finds it
// routed. Building one takes time by the number of services, though, and thousands of them change
// at once when their first probes come back: where building is dear, changes that come while the
// last table is still young share the next one, at the latest after as long as that one took.
// Changes that take a service out of routing never wait.

#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <thread>

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/lifecycle/parts.h"
#include "server/registry/registry.h"
#include "server/routing/route_table.h"

namespace tao::lifecycle {

class RoutePublisher : public registry::RegistryObserver {
 public:
  using Publish = std::function<void(std::shared_ptr<const routing::RouteTable>)>;

  // A table that took less is published for each change.
  static constexpr absl::Duration kCheap = absl::Milliseconds(2);

  // `parts`, its registry, and the clock outlive it. `publish` must not block.
  RoutePublisher(const Parts& parts, Publish publish, const base::Clock& clock = base::RealClock());
  // Publishes no more.
  ~RoutePublisher() override;

  void OnChange(const registry::ServiceRecord& record) override;
  std::shared_ptr<const routing::RouteTable> table() const;
  // Builds and publishes the table of what is there now.
  void PublishNow();

 private:
  // Waits for a change that waits, until it has waited long enough. False: the end has come.
  bool AwaitLateChange();

  const Parts& parts_;
  const Publish publish_;
  const base::Clock& clock_;
  base::Mutex publishing_;  // no table is overtaken by an older one
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::shared_ptr<const routing::RouteTable> table_ ABSL_GUARDED_BY(mutex_);
  absl::Duration took_ ABSL_GUARDED_BY(mutex_);  // to build the last one
  absl::Duration young_until_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;  // a change that no table has yet
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread late_;
};

}  // namespace tao::lifecycle
