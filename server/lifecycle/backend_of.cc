#include "server/lifecycle/backend_of.h"

#include <string>

#include "server/registry/host_url.h"

namespace tao::lifecycle {
namespace {

routing::Backend BackendOfUrl(const std::string& host_url) {
  routing::Backend backend;
  const auto url = registry::ParseHostUrl(host_url);
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

}  // namespace

routing::Backend BackendOf(const Parts& parts, const registry::ServiceRecord& record) {
  const platforms::Platform* const platform = parts.PlatformNamed(record.platform);
  if (record.foreign || platform == nullptr) return BackendOfUrl(record.host_url);
  if (record.host_url.empty()) return {};  // not confirmed yet
  return platform->EndpointOf(JobOf(record)).backend;
}

void WriteEndpoint(const platforms::Platform::Endpoint& endpoint, registry::ServiceRecord& record) {
  record.host_url = endpoint.host_url;
  record.docker_url = endpoint.docker_url;
  record.platform_job_id = endpoint.platform_job_id;
  record.slurm_node = endpoint.slurm_node;
  record.instance_id = endpoint.instance_id;
}

}  // namespace tao::lifecycle
