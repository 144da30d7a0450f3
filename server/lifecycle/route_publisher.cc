#include "server/lifecycle/route_publisher.h"

#include <utility>
#include <vector>

#include "server/lifecycle/backend_of.h"

namespace tao::lifecycle {
namespace {

base::TimeoutOverrides TimeoutsOf(const Parts& parts, const std::string& network_arch) {
  const auto& archs = parts.catalog->request().archs;
  const auto row = archs.find(network_arch);
  return row == archs.end() ? base::TimeoutOverrides() : row->second.timeouts;
}

routing::Service ToService(const Parts& parts, const registry::ServiceRecord& record) {
  return {.job_id = record.job_id,
          .network_arch = record.network_arch,
          .platform = record.platform,
          .foreign = record.foreign,
          .served_names = record.served_names,
          .phase = record.phase,
          .reason = record.reason,
          .message = record.message,
          .backend = BackendOf(parts, record),
          .started_at = record.started_at,
          .host_url = record.host_url,
          .timeouts = TimeoutsOf(parts, record.network_arch)};
}

}  // namespace

RoutePublisher::RoutePublisher(const Parts& parts, Publish publish, const base::Clock& clock,
                               size_t many)
    : parts_(parts),
      publish_(std::move(publish)),
      clock_(clock),
      many_(many),
      table_(routing::RouteTable::Build({})) {
  late_ = std::thread([this] {
    while (AwaitLateChange()) PublishNow();
  });
}

RoutePublisher::~RoutePublisher() {
  {
    base::MutexLock lock(mutex_);
    ending_ = true;
    changed_.SignalAll();
  }
  late_.join();
}

void RoutePublisher::OnChange(const registry::ServiceRecord& record) {
  // Stop counts on it that nothing new is sent to its service from now on.
  const bool leaves =
      record.phase == routing::Phase::kDraining || record.phase == routing::Phase::kStopped;
  if (record.foreign && !leaves) {
    base::MutexLock lock(mutex_);
    if (table_->services().size() >= many_ && clock_.Monotonic() < young_until_) {
      waiting_ = true;
      changed_.SignalAll();
      return;
    }
  }
  PublishNow();
}

bool RoutePublisher::AwaitLateChange() {
  base::MutexLock lock(mutex_);
  while (!ending_) {
    const absl::Duration left = young_until_ - clock_.Monotonic();
    if (!waiting_) {
      changed_.Wait(mutex_);
    } else if (left > absl::ZeroDuration()) {
      changed_.WaitWithTimeout(mutex_, left);
    } else {
      return true;
    }
  }
  return false;
}

void RoutePublisher::PublishNow() {
  base::MutexLock publishing(publishing_);
  const absl::Duration began = clock_.Monotonic();
  {
    base::MutexLock lock(mutex_);
    waiting_ = false;  // the change is in the registry already
  }
  std::vector<routing::Service> services;
  for (const auto& record : parts_.registry->List()) {
    services.push_back(ToService(parts_, *record));
  }
  std::shared_ptr<const routing::RouteTable> table =
      routing::RouteTable::Build(std::move(services));
  publish_(table);
  const absl::Duration ended = clock_.Monotonic();
  base::MutexLock lock(mutex_);
  table_ = std::move(table);
  young_until_ = ended + (ended - began);
}

std::shared_ptr<const routing::RouteTable> RoutePublisher::table() const {
  base::MutexLock lock(mutex_);
  return table_;
}

}  // namespace tao::lifecycle
