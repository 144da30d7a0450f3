#pragma once

// The idle connections of one worker. Worker thread only.

#include <absl/container/flat_hash_map.h>
#include <absl/time/time.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "gateway/transport/deadline_wheel.h"
#include "gateway/upstream/upstream_connection.h"
#include "server/routing/route_table.h"

namespace tao::upstream {

class Pool {
 public:
  // `config` outlives the pool.
  Pool(transport::DeadlineWheel& wheel, const UpstreamConfig& config);

  // A connection to `service` that can carry a request, the one used last; null when there is none.
  std::unique_ptr<UpstreamConnection> Take(const routing::Service& service);

  // Keeps a connection whose Finish() was true.
  void Put(std::unique_ptr<UpstreamConnection> connection);

  // Closes the connections to services that `table` no longer has.
  void Retain(const routing::RouteTable& table);
  void Clear() { idle_.clear(); }

  size_t idle() const;  // connections

 private:
  struct Idle {
    std::unique_ptr<UpstreamConnection> connection;
    absl::Duration until;
  };

  void Sweep();

  const UpstreamConfig& config_;
  absl::flat_hash_map<std::string, std::vector<Idle>> idle_;  // by job_id; the last is the newest
  transport::Deadline sweep_;
  bool sweeping_ = false;  // sweep_ is armed
};

}  // namespace tao::upstream
