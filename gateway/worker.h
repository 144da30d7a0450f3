#pragma once

// One thread of the gateway with everything that its connections need: event loop, timers, pools,
// route table. A connection, once accepted, never leaves its worker, so nothing here takes a lock.
//
// Worker thread only, but for the methods that say otherwise.

#include <absl/container/flat_hash_set.h>
#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "gateway/access_log.h"
#include "gateway/access_log_file.h"
#include "gateway/exchange_counts.h"
#include "gateway/gateway_config.h"
#include "gateway/gateway_load.h"
#include "gateway/http/http_date.h"
#include "gateway/known_secrets.h"
#include "gateway/listener.h"
#include "gateway/metrics.h"
#include "gateway/transport/asio.h"
#include "gateway/transport/deadline_wheel.h"
#include "gateway/transport/signal.h"
#include "gateway/upstream/pool.h"
#include "server/routing/exchanges.h"

namespace tao::gateway {

class Exchange;
class Session;

class Worker {
 public:
  // Takes over the listening socket `listen_fd`. `config`, `load` and `failures` outlive the
  // worker; `failures` and `access_log` may be null. `spool`, `names` and `access_log` outlive the
  // thread.
  Worker(size_t index, const GatewayConfig& config, GatewayLoad& load, spool::Spool& spool,
         int listen_fd, std::unique_ptr<upstream::TlsClient> tls, upstream::NameResolver& names,
         routing::FailureListener* failures, AccessLogFile* access_log);
  // The thread must have ended: Finish and Join come first.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // --- From any thread ---

  void Start();
  // Runs `task` on the worker's thread, after everything posted before.
  void Post(absl::AnyInvocable<void()> task);
  // The two halves of Post.
  void Enqueue(absl::AnyInvocable<void()> task) { io_.Enqueue(std::move(task)); }
  void Wake() { io_.Wake(); }
  // The generation of the snapshot that this worker routes by.
  uint64_t adopted_generation() const { return adopted_.load(std::memory_order_acquire); }

  // --- Control, on the worker's thread ---

  void Adopt(std::shared_ptr<const RoutingSnapshot> snapshot);
  void AdoptName(const std::string& host, std::shared_ptr<const upstream::Resolution> found) {
    names_.Adopt(host, std::move(found));
  }
  void FailReadiness() { draining_ = true; }
  // No new connections; those without an exchange are closed; the others close after theirs.
  void StopAccepting();
  // Ends the exchanges with `why`: those of one service, or all when `job_id` is empty.
  void Cut(std::string_view job_id, const absl::Status& why);
  // What was counted, and how things stand.
  WorkerMetrics CollectMetrics() const;
  // Closes whatever is still open.
  void Abort();
  // Lets the thread end once nothing is left to do.
  void Finish();
  void Join() { thread_.join(); }

  // --- For sessions and exchanges ---

  size_t index() const { return index_; }
  const GatewayConfig& config() const { return config_; }
  GatewayLoad& load() { return load_; }
  spool::Spool& spool() { return spool_; }
  transport::EventLoop& io() { return io_; }
  transport::DeadlineWheel& wheel() { return wheel_; }
  const upstream::UpstreamParts& upstream_parts() const { return upstream_parts_; }
  upstream::Pool& pool() { return pool_; }
  WorkerMetrics& metrics() { return metrics_; }
  // The exchange is over: counts it, and writes its line.
  void Report(const AccessLogRequest& request, const Exchange& exchange, const ExchangeTimes& times,
              const absl::Status& status);
  const std::shared_ptr<const RoutingSnapshot>& routing() const { return routing_; }
  // What finds the daemon's secrets in a body; null when there are none.
  const std::shared_ptr<const contract::SecretAutomaton>& secrets() { return secrets_.Current(); }
  bool draining() const { return draining_; }
  bool accepting() const { return accepting_; }
  // No table was published yet: not ready.
  bool has_table() const { return routing_->generation > 0; }
  std::string_view Date();
  std::string NewRequestId();

  void Register(Session* session) { sessions_.insert(session); }
  void Unregister(Session* session, bool was_refused);
  void Register(Exchange* exchange) { exchanges_.insert(exchange); }
  void Unregister(Exchange* exchange);
  // As long as it lives, `signal` is set whenever a new table was adopted.
  class TableWatch {
   public:
    TableWatch(Worker& worker, transport::Signal& signal) : worker_(worker), signal_(signal) {
      worker_.table_watches_.insert(&signal_);
    }
    ~TableWatch() { worker_.table_watches_.erase(&signal_); }
    TableWatch(const TableWatch&) = delete;
    TableWatch& operator=(const TableWatch&) = delete;

   private:
    Worker& worker_;
    transport::Signal& signal_;
  };
  // Reads what is left of the connection's answer, for a moment, and pools it if it can be used
  // again.
  void Recycle(std::unique_ptr<upstream::UpstreamConnection> connection);
  void ReportFailure(std::string_view job_id);

  // Sessions, exchanges, connections being recycled, and one as long as it accepts. From any
  // thread.
  size_t active() const { return active_.load(std::memory_order_acquire); }
  // Called, on the worker's thread, whenever `active` has fallen to 0.
  void OnIdle(absl::AnyInvocable<void()> callback) { on_idle_ = std::move(callback); }

 private:
  void Serve(transport::TcpSocket socket, const transport::net::ip::address& client);
  transport::Task<void> DrainAndPool(std::unique_ptr<upstream::UpstreamConnection> connection);
  void CountActive();

  const size_t index_;
  const GatewayConfig& config_;
  GatewayLoad& load_;
  spool::Spool& spool_;
  routing::FailureListener* const failures_;

  transport::EventLoop io_;
  transport::DeadlineWheel wheel_;
  upstream::NameCache names_;
  const std::unique_ptr<upstream::TlsClient> tls_;
  const upstream::UpstreamParts upstream_parts_;
  upstream::Pool pool_;
  std::shared_ptr<const RoutingSnapshot> routing_;
  std::atomic<uint64_t> adopted_ = 0;
  KnownSecrets secrets_;
  http::HttpDate date_;
  WorkerMetrics metrics_;
  AccessLogBuffer access_log_;
  const uint64_t request_id_salt_;
  uint64_t requests_ = 0;

  absl::flat_hash_set<Session*> sessions_;
  absl::flat_hash_set<Exchange*> exchanges_;
  absl::flat_hash_set<transport::Signal*> table_watches_;
  size_t recycling_ = 0;
  size_t refusing_ = 0;  // sessions that only say that there are too many
  std::atomic<size_t> active_ = 1;
  absl::AnyInvocable<void()> on_idle_;
  bool draining_ = false;
  bool accepting_ = true;
  Listener listener_;
  std::thread thread_;
};

}  // namespace tao::gateway
