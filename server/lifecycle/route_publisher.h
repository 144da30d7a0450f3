#pragma once

// Turns every change of the registry into a route table and hands it on (to the gateway's workers,
// and to the API's Resolve). Thread-safe.
//
// A table is published before OnChange returns, so that whoever was told of a change finds it
// routed. Building one takes time by the number of services, though, and thousands of another
// tool's entries change at once when their first probes come back: where there are so many, changes
// of such entries that come while the last table is still young share the next one, at the latest
// after as long as that one took. Services that we started never wait, nor do changes that take any
// out of routing.

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

  // Of fewer services a table is built in a millisecond or so. Not measured instead: a thread that
  // has to wait for its turn would make each table look dear.
  static constexpr size_t kMany = 1000;

  // `parts`, its registry, and the clock outlive it. `publish` must not block. `many`: from how
  // many services on changes of foreign ones may share a table.
  RoutePublisher(const Parts& parts, Publish publish, const base::Clock& clock = base::RealClock(),
                 size_t many = kMany);
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
  const size_t many_;
  base::Mutex publishing_;  // no table is overtaken by an older one
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::shared_ptr<const routing::RouteTable> table_ ABSL_GUARDED_BY(mutex_);
  // As long after the last table was made as making it took.
  absl::Duration young_until_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;  // a change that no table has yet
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread late_;
};

}  // namespace tao::lifecycle
