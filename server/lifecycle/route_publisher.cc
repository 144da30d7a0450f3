#include "server/lifecycle/route_publisher.h"

#include <utility>
#include <vector>

#include "server/registry/host_url.h"

namespace tao::lifecycle {
namespace {

routing::Service ToService(const registry::ServiceRecord& record) {
  return {.job_id = record.job_id,
          .network_arch = record.network_arch,
          .platform = record.platform,
          .served_names = record.served_names,
          .phase = record.phase,
          .reason = record.reason,
          .message = record.message,
          .backend = BackendOf(record),
          .started_at = record.started_at,
          .host_url = record.host_url};
}

}  // namespace

routing::Backend BackendOf(const registry::ServiceRecord& record) {
  routing::Backend backend;
  const auto url = registry::ParseHostUrl(record.host_url);
  if (!url.ok()) return backend;
  backend.scheme = url->scheme;
  // "localhost" may be ::1 first, where a container that publishes on 127.0.0.1 does not answer.
  backend.host = url->host == "localhost" ? "127.0.0.1" : url->host;
  backend.port = url->port;
  backend.base_path = url->base_path;
  const bool ipv6 = url->host.find(':') != std::string::npos;
  backend.authority = (ipv6 ? "[" + url->host + "]" : url->host) + ":" + std::to_string(url->port);
  return backend;
}

RoutePublisher::RoutePublisher(const registry::Registry& registry, Publish publish)
    : registry_(registry), publish_(std::move(publish)), table_(routing::RouteTable::Build({})) {}

void RoutePublisher::OnChange(const registry::ServiceRecord&) { PublishNow(); }

void RoutePublisher::PublishNow() {
  std::vector<routing::Service> services;
  for (const registry::ServiceRecord& record : registry_.List()) {
    services.push_back(ToService(record));
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
