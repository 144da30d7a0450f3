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

RoutePublisher::RoutePublisher(const Parts& parts, Publish publish)
    : parts_(parts), publish_(std::move(publish)), table_(routing::RouteTable::Build({})) {}

void RoutePublisher::OnChange(const registry::ServiceRecord&) { PublishNow(); }

void RoutePublisher::PublishNow() {
  std::vector<routing::Service> services;
  for (const registry::ServiceRecord& record : parts_.registry->List()) {
    services.push_back(ToService(parts_, record));
  }
  std::shared_ptr<const routing::RouteTable> table =
      routing::RouteTable::Build(std::move(services));
  {
    base::MutexLock lock(mutex_);
    table_ = table;
  }
  publish_(std::move(table));
}

std::shared_ptr<const routing::RouteTable> RoutePublisher::table() const {
  base::MutexLock lock(mutex_);
  return table_;
}

}  // namespace tao::lifecycle
