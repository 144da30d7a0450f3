#include "gateway/connection_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace tao::gateway {
namespace {

// gRPC, the journal, helper programs and their pipes, spool files, probes.
constexpr size_t kOtherDescriptors = 512;
constexpr size_t kFewest = 16;

size_t FromDescriptors() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kFewest;
  const size_t most = limit.rlim_cur;
  return std::max(kFewest, most > kOtherDescriptors ? (most - kOtherDescriptors) / 2 : 0);
}

}  // namespace

ConnectionLimit::ConnectionLimit(size_t all, size_t per_client)
    : all_(all > 0 ? all : FromDescriptors()),
      per_client_(per_client > 0 ? per_client : std::max<size_t>(1, all_ - all_ / 4)) {}

size_t ConnectionLimit::open() const {
  base::MutexLock lock(mutex_);
  return open_;
}

ConnectionLimit::Client ConnectionLimit::ClientOf(const transport::net::ip::address& address) {
  Client client = {};
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    client[0] = 4;
    std::copy(bytes.begin(), bytes.end(), client.begin() + 1);
    return client;
  }
  const auto v6 = address.to_v6();
  if (v6.is_v4_mapped()) {
    return ClientOf(transport::net::ip::make_address_v4(transport::net::ip::v4_mapped, v6));
  }
  const auto bytes = v6.to_bytes();
  client[0] = 6;
  std::copy_n(bytes.begin(), 8, client.begin() + 1);
  return client;
}

std::optional<ConnectionLimit::Ticket> ConnectionLimit::Take(const Client& client,
                                                             Refusal* refusal) {
  base::MutexLock lock(mutex_);
  *refusal = open_ >= all_ ? Refusal::kTooMany : Refusal::kNone;
  if (*refusal != Refusal::kNone) return std::nullopt;
  size_t& of_client = of_client_[client];
  if (of_client >= per_client_) {
    *refusal = Refusal::kTooManyOfClient;
    return std::nullopt;
  }
  ++of_client;
  ++open_;
  return Ticket(*this, client);
}

void ConnectionLimit::Return(const Client& client) {
  base::MutexLock lock(mutex_);
  --open_;
  const auto found = of_client_.find(client);
  if (--found->second == 0) of_client_.erase(found);
}

}  // namespace tao::gateway
