#pragma once

// What one worker knows of its backends' names. Filled by the gateway's NameResolver, by message,
// so that a request takes no lock and waits for a look-up only if its name has never been looked
// up.
//
// Worker thread only.

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <functional>
#include <memory>
#include <string>

#include "gateway/transport/signal.h"
#include "gateway/upstream/name_resolver.h"
#include "server/routing/route_table.h"

namespace tao::upstream {

class NameCache {
 public:
  // `ask` makes a resolution of a host come by Adopt, soon, at least once.
  explicit NameCache(std::function<void(const std::string& host)> ask) : ask_(std::move(ask)) {}

  // Null when nothing is known yet.
  std::shared_ptr<const Resolution> Find(const std::string& host) const;

  // Waits for what is found of one host; destroying it ends the waiting.
  class Waiter {
   public:
    Waiter(NameCache& cache, std::string host, transport::EventLoop& loop);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    transport::Signal done;                    // set when it was found, or by whoever gives up
    std::shared_ptr<const Resolution> result;  // null: given up

   private:
    friend class NameCache;
    NameCache& cache_;
    const std::string host_;
  };

  void Adopt(const std::string& host, std::shared_ptr<const Resolution> found);
  // Forgets the hosts that `table` does not have.
  void Retain(const routing::RouteTable& table);

 private:
  const std::function<void(const std::string& host)> ask_;
  absl::flat_hash_map<std::string, std::shared_ptr<const Resolution>> known_;
  absl::flat_hash_set<Waiter*> waiters_;
};

}  // namespace tao::upstream
