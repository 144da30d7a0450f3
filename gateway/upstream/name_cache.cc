#include "gateway/upstream/name_cache.h"

#include <string_view>
#include <utility>

namespace tao::upstream {

std::shared_ptr<const Resolution> NameCache::Find(const std::string& host) const {
  const auto found = known_.find(host);
  return found == known_.end() ? nullptr : found->second;
}

NameCache::Waiter::Waiter(NameCache& cache, std::string host, transport::EventLoop& loop)
    : done(loop), cache_(cache), host_(std::move(host)) {
  cache_.waiters_.insert(this);
  cache_.ask_(host_);
}

NameCache::Waiter::~Waiter() { cache_.waiters_.erase(this); }

void NameCache::Adopt(const std::string& host, std::shared_ptr<const Resolution> found) {
  for (Waiter* const waiter : waiters_) {
    if (waiter->host_ != host) continue;
    waiter->result = found;
    waiter->done.Set();
  }
  known_[host] = std::move(found);
}

void NameCache::Retain(const routing::RouteTable& table) {
  if (known_.empty()) return;
  absl::flat_hash_set<std::string_view> hosts;
  for (const routing::Service& service : table.services()) hosts.insert(service.backend.host);
  absl::erase_if(known_, [&hosts](const auto& item) { return !hosts.contains(item.first); });
}

}  // namespace tao::upstream
