#include "server/routing/route_table.h"

#include <utility>

#include "server/base/strings.h"

namespace tao::routing {
namespace {

template <typename Map>
auto FindIn(const Map& map, std::string_view key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

}  // namespace

std::string_view TlsNameOf(const Backend& backend) {
  std::string_view name = backend.authority.empty() ? backend.host : backend.authority;
  if (name.starts_with('[')) return name.substr(1, name.find(']') - 1);
  // More than one colon: an IPv6 address without brackets.
  const size_t colon = name.find(':');
  return colon == name.rfind(':') ? name.substr(0, colon) : name;
}

std::shared_ptr<const RouteTable> RouteTable::Build(std::vector<Service> services) {
  std::erase_if(services, [](const Service& service) { return service.phase == Phase::kStopped; });
  auto table = std::make_shared<RouteTable>();
  table->services_ = std::move(services);
  table->by_job_id_.reserve(table->services_.size());
  for (const Service& service : table->services_) {
    table->by_job_id_.emplace(service.job_id, &service);
    table->by_arch_[service.network_arch].push_back(&service);
    for (const std::string& name : service.served_names) {
      std::vector<const Service*>& same_name = table->by_served_name_[name];
      // A service that lists a name twice is still one service.
      if (same_name.empty() || same_name.back() != &service) same_name.push_back(&service);
    }
  }
  return table;
}

const Service* RouteTable::Find(std::string_view job_id) const {
  const auto* const found = FindIn(by_job_id_, job_id);
  return found == nullptr ? nullptr : *found;
}

const std::vector<const Service*>* RouteTable::WithArch(std::string_view network_arch) const {
  // Names are in lower case, and may be written in any (references/service.yaml).
  const auto* const found = FindIn(by_arch_, network_arch);
  return found != nullptr ? found : FindIn(by_arch_, base::AsciiLower(network_arch));
}

const std::vector<const Service*>* RouteTable::WithServedName(std::string_view name) const {
  return FindIn(by_served_name_, name);
}

}  // namespace tao::routing
