#pragma once

// How many exchanges each service has in flight, counted by the workers without a lock and summed
// by the control plane.

#include <absl/container/flat_hash_map.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "server/routing/route_table.h"

namespace tao::gateway {

// The counters of one service: one for each worker, in a cache line of its own. Thread-safe.
class ExchangeCounts {
 public:
  explicit ExchangeCounts(size_t workers) : counts_(workers) {}

  void Begin(size_t worker) { counts_[worker].value.fetch_add(1, std::memory_order_relaxed); }
  void End(size_t worker) { counts_[worker].value.fetch_sub(1, std::memory_order_relaxed); }
  int Sum() const {
    int sum = 0;
    for (const Count& count : counts_) sum += count.value.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) Count {
    std::atomic<int> value = 0;
  };
  std::vector<Count> counts_;
};

// What the workers route by: immutable, one for each Gateway::Publish. An exchange keeps the one it
// began with.
struct RoutingSnapshot {
  std::shared_ptr<const routing::RouteTable> table;
  absl::flat_hash_map<std::string_view, std::shared_ptr<ExchangeCounts>> counts;  // keys in `table`
  uint64_t generation = 0;
};

}  // namespace tao::gateway
