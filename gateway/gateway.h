#pragma once

// The OpenAI-compatible HTTP gateway: the one header of this folder that the rest of the program
// needs. docs/gateway.md describes what it serves.
//
//   auto gateway = Gateway::Start(config, &prober);
//   if (!gateway.ok()) ...                        // the address is taken, and so on
//   (*gateway)->Publish(table);                   // on every change of the services
//   (*gateway)->Drain(absl::Seconds(30));         // on SIGTERM; then destroy it

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/gateway_config.h"
#include "gateway/gateway_load.h"
#include "gateway/infer.h"
#include "gateway/local_reply.h"
#include "server/base/mutex.h"
#include "server/routing/exchanges.h"
#include "server/routing/route_table.h"

namespace tao::gateway {

class AccessLogFile;
class Admin;
class ExchangeCounts;
class Worker;
struct GatewayMetrics;

// Thread-safe.
class Gateway : public routing::ExchangeCounter {
 public:
  // Listens, and starts the workers. Until the first Publish there is no service, and /readyz says
  // 503. `failures` may be null; it must outlive the gateway. InvalidArgument, FailedPrecondition:
  // the address cannot be listened on, and what to do about it.
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(const GatewayConfig& config,
                                                        routing::FailureListener* failures);
  // Drains without waiting: what still runs is cut.
  ~Gateway() override;

  // Every request that arrives from now on is routed by `table`, or for a moment still by the one
  // before; exchanges in flight keep theirs. Names of backends are looked up from now on. Does not
  // block.
  void Publish(std::shared_ptr<const routing::RouteTable> table);

  // A worker that has not adopted the last table yet counts as one exchange: it may be beginning
  // it. So 0, after a table was published in which the service takes no new exchanges, means that
  // there are none.
  int InFlight(std::string_view job_id) const override;

  // Ends the exchanges of one service, which is being stopped: their upstreams are closed, their
  // clients told as far as HTTP allows. Does not block.
  void CutExchanges(std::string_view job_id);

  // /readyz says 503; after GatewayConfig::drain_notice, for which this blocks, nothing new is
  // taken, over HTTP or by PostInfer, and idle connections are closed. Exchanges go on. A second
  // call does nothing.
  void BeginDrain();

  // Ends the gateway: BeginDrain, then exchanges go on until `limit` has passed, then they are cut.
  // Blocks until all is over. Once.
  void Drain(absl::Duration limit);

  // Runs a chat completion for the API. `receiver` hears of everything, of errors too, on a
  // worker's thread, maybe before this returns; after Drain on this one.
  std::shared_ptr<InferStream> PostInfer(InferCall call, std::shared_ptr<InferReceiver> receiver);

  const GatewayLoad& load() const { return load_; }

  // Where it listens, as it can be dialled.
  const std::string& address() const { return address_; }
  uint16_t port() const { return port_; }
  // The same of the admin listener; empty and 0 when there is none.
  std::string admin_address() const;
  uint16_t admin_port() const;

  // The access log's file has been renamed: goes on in a new one (AccessLogFile::Reopen). Does not
  // block.
  void ReopenAccessLog();

  // What the workers counted, added up. Blocks until all have told, 5 s at most: then, and when
  // they have ended, nullopt.
  std::optional<GatewayMetrics> CollectMetrics();

 private:
  explicit Gateway(const GatewayConfig& config);

  void StopTaking(absl::Duration notice);
  // False when `limit` has passed before the workers had nothing left to do.
  bool WaitUntilIdle(absl::Duration limit);
  bool IsIdle() const;
  template <typename Task>
  void PostToAll(Task task);
  LocalReply Readiness() const;

  const GatewayConfig config_;
  GatewayLoad load_;
  std::unique_ptr<AccessLogFile> access_log_;  // null: there is none of its own
  std::string address_;
  uint16_t port_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<upstream::NameResolver> names_;  // tells the workers: ends before them
  std::unique_ptr<spool::Spool> spool_;            // likewise
  std::unique_ptr<Admin> admin_;                   // null: none; asks the workers, ends before them
  std::atomic<size_t> next_worker_ = 0;            // of PostInfer

  mutable base::Mutex mutex_;  // no request takes it
  base::CondVar became_idle_;  // some worker did
  absl::flat_hash_map<std::string, std::shared_ptr<ExchangeCounts>> counts_
      ABSL_GUARDED_BY(mutex_);                                                // by job_id
  std::shared_ptr<const routing::RouteTable> table_ ABSL_GUARDED_BY(mutex_);  // the newest
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;  // the workers take no more tasks
};

}  // namespace tao::gateway
