#pragma once

// What one worker counts. Plain numbers, for nobody else touches them: a scrape asks each worker
// for a copy, and adds the copies up (Gateway::CollectMetrics). docs/operations.md, "Metrics", says
// what is shown of them and under which names.
//
// Worker thread only; copies are externally synchronised.

#include <absl/container/node_hash_map.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/exchange_end.h"
#include "gateway/exchange_times.h"
#include "gateway/histogram.h"
#include "gateway/request.h"
#include "server/routing/route_table.h"

namespace tao::gateway {

inline constexpr size_t kStages = 5;    // of ExchangeStage
inline constexpr size_t kClosers = 4;   // of ClosedBy
inline constexpr size_t kOutcomes = 8;  // of StreamOutcome

// Answers by status and error token. There are few kinds, so they are looked for one by one.
class AnswerCounts {
 public:
  struct Entry {
    int code = 0;
    std::optional<base::ErrorToken> token;
    uint64_t count = 0;
  };

  void Count(int code, std::optional<base::ErrorToken> token, uint64_t times = 1);
  void Add(const AnswerCounts& other);
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

// Of one service, or of all requests that none was chosen for.
struct ServiceMetrics {
  AnswerCounts answers;
  Histogram<kDurationBounds> duration;
  Histogram<kDurationBounds> first_byte;
  std::array<uint64_t, kOutcomes> streams = {};  // by StreamOutcome
  Histogram<kDurationBounds> first_event;
  Histogram<kGapBounds> gaps;
  uint64_t events = 0;
  uint64_t body_bytes = 0;
  uint64_t answer_bytes = 0;
  std::array<std::array<uint64_t, kClosers>, kStages> broken = {};  // by stage and ClosedBy
  uint64_t in_flight = 0;                                           // at the time of the copy

  void Count(const ExchangeEnd& end, const ExchangeTimes& times);
  void Add(const ServiceMetrics& other);
};

struct WorkerMetrics {
  absl::node_hash_map<std::string, ServiceMetrics> services;  // by job_id
  ServiceMetrics unrouted;
  std::array<AnswerCounts, kEndpoints> others;  // what is no chat completion, by Endpoint
  Histogram<kOverheadBounds> overhead;
  uint64_t connections_accepted = 0;
  uint64_t upstream_opened = 0;
  uint64_t upstream_reused = 0;
  // At the time of the copy.
  uint64_t connections = 0;
  uint64_t upstream_idle = 0;
  std::array<uint64_t, kStages> exchanges = {};

  // An exchange has ended. One whose service is not in `table` any more is not counted: its series
  // are gone.
  void Count(const ExchangeEnd& end, const ExchangeTimes& times, const routing::RouteTable& table);
  void CountOther(Endpoint endpoint, int code, std::optional<base::ErrorToken> token) {
    others[static_cast<size_t>(endpoint)].Count(code, token);
  }
  // Forgets the services that `table` no longer has.
  void Retain(const routing::RouteTable& table);
  void Add(const WorkerMetrics& other);
};

// Everything that a scrape shows.
struct GatewayMetrics {
  WorkerMetrics workers;  // all of them together
  std::shared_ptr<const routing::RouteTable> table;
  uint64_t spool_file_bytes = 0;
  uint64_t spool_memory_bytes = 0;
  uint64_t lost_log_lines = 0;
};

// In the text format of Prometheus (version 0.0.4). Only services of the table are shown.
std::string RenderMetrics(const GatewayMetrics& metrics);

}  // namespace tao::gateway
