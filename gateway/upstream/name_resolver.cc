#include "gateway/upstream/name_resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "server/base/clock.h"

namespace tao::upstream {

namespace ip = boost::asio::ip;

namespace {

constexpr int kThreads = 4;
// After a failure: a service that has just started gets its name a little later.
constexpr absl::Duration kRetry = absl::Seconds(2);

absl::Duration Now() { return base::RealClock().Monotonic(); }

ip::address AddressIn(const addrinfo& info) {
  if (info.ai_family == AF_INET) {
    sockaddr_in v4 = {};
    std::memcpy(&v4, info.ai_addr, sizeof(v4));
    return ip::address_v4(ntohl(v4.sin_addr.s_addr));
  }
  sockaddr_in6 v6 = {};
  std::memcpy(&v6, info.ai_addr, sizeof(v6));
  ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return ip::address_v6(bytes, v6.sin6_scope_id);
}

}  // namespace

Resolution LookUpBySystem(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  Resolution found;
  if (error != 0) {
    found.error = error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error);
    found.may_recover = error != EAI_NONAME && error != EAI_NODATA;
    return found;
  }
  for (const addrinfo* info = list; info != nullptr; info = info->ai_next) {
    if (info->ai_family == AF_INET || info->ai_family == AF_INET6) {
      found.addresses.push_back(AddressIn(*info));
    }
  }
  ::freeaddrinfo(list);
  if (found.addresses.empty()) found.error = "none of IPv4 or IPv6";
  return found;
}

ip::address ParseAddress(const std::string& host, boost::system::error_code& error) {
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  return ip::make_address(bracketed ? host.substr(1, host.size() - 2) : host, error);
}

NameResolver::NameResolver(Lookup lookup, absl::Duration time_to_live, Deliver deliver)
    : lookup_(std::move(lookup)), time_to_live_(time_to_live), deliver_(std::move(deliver)) {}

NameResolver::~NameResolver() {
  std::vector<std::thread> threads;
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  changed_.SignalAll();
  for (std::thread& thread : threads) thread.join();
}

void NameResolver::Keep(const std::vector<std::string>& hosts) {
  {
    base::MutexLock lock(mutex_);
    for (auto& [host, entry] : entries_) entry.kept = false;
    for (const std::string& host : hosts) {
      boost::system::error_code not_literal;
      ParseAddress(host, not_literal);
      if (not_literal) entries_[host].kept = true;
    }
    absl::erase_if(entries_, [](const auto& item) {
      const Entry& entry = item.second;
      return !entry.kept && !entry.busy && entry.found != nullptr;  // else somebody waits for it
    });
    if (!entries_.empty()) StartThreadsLocked();
  }
  changed_.SignalAll();
}

void NameResolver::Ask(const std::string& host) {
  {
    base::MutexLock lock(mutex_);
    const Entry& entry = entries_[host];
    if (entry.found != nullptr) return deliver_(host, entry.found);
    StartThreadsLocked();
  }
  changed_.SignalAll();
}

void NameResolver::StartThreadsLocked() {
  if (stopping_ || !threads_.empty()) return;
  for (int i = 0; i < kThreads; ++i) threads_.emplace_back([this] { Run(); });
}

void NameResolver::Run() {
  while (true) {
    std::string host;
    {
      base::MutexLock lock(mutex_);
      while (!stopping_ && host.empty()) {
        absl::Duration wait;
        host = TakeDueLocked(&wait);
        if (host.empty()) changed_.WaitWithTimeout(mutex_, wait);
      }
      if (stopping_) return;
    }
    Resolution found = lookup_(host);
    base::MutexLock lock(mutex_);
    if (stopping_) return;
    FinishLocked(host, std::move(found));
  }
}

std::string NameResolver::TakeDueLocked(absl::Duration* wait) {
  const absl::Duration now = Now();
  *wait = absl::Hours(1);
  for (auto& [host, entry] : entries_) {
    if (entry.busy) continue;
    if (entry.due <= now) {
      entry.busy = true;
      return host;
    }
    *wait = std::min(*wait, entry.due - now);
  }
  return "";
}

void NameResolver::FinishLocked(const std::string& host, Resolution found) {
  const auto at = entries_.find(host);
  if (at == entries_.end()) return;
  Entry& entry = at->second;
  const bool failed = found.addresses.empty();
  entry.busy = false;
  entry.due = Now() + (failed ? std::min(kRetry, time_to_live_) : time_to_live_);
  const bool had_addresses = entry.found != nullptr && !entry.found->addresses.empty();
  const bool holds_on = failed && found.may_recover && had_addresses;
  if (!holds_on && (entry.found == nullptr || *entry.found != found)) {
    entry.found = std::make_shared<const Resolution>(std::move(found));
    deliver_(host, entry.found);
  }
  if (!entry.kept) entries_.erase(at);
}

}  // namespace tao::upstream
