#include "gateway/gateway.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "gateway/access_log_file.h"
#include "gateway/admin.h"
#include "gateway/exchange_counts.h"
#include "gateway/infer_exchange.h"
#include "gateway/infer_status.h"
#include "gateway/listener.h"
#include "gateway/metrics.h"
#include "gateway/worker.h"
#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

// What exchanges that are cut have left to tell their clients.
constexpr absl::Duration kLastWords = absl::Seconds(1);

// How long a scrape waits for the workers.
constexpr absl::Duration kCollectLimit = absl::Seconds(5);

// What the workers tell for one scrape. Outlives it: a late worker still has somewhere to put its
// part.
struct Collection {
  base::Mutex mutex;
  base::CondVar told;
  WorkerMetrics sum ABSL_GUARDED_BY(mutex);
  size_t missing ABSL_GUARDED_BY(mutex) = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Start(const GatewayConfig& config,
                                                        routing::FailureListener* failures) {
  const size_t count = config.workers > 0 ? static_cast<size_t>(config.workers)
                                          : std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::unique_ptr<upstream::TlsClient>> tls(count);
  for (auto& client : tls) {
    ASSIGN_OR_RETURN(client, upstream::TlsClient::Create(config.upstream.ca_file));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<spool::Spool> spool, spool::Spool::Open(config.spool));
  std::unique_ptr<AccessLogFile> access_log;
  if (!config.access_log.empty()) {
    ASSIGN_OR_RETURN(access_log, AccessLogFile::Open(config.access_log));
  }
  ASSIGN_OR_RETURN(const ListeningSockets sockets, OpenListeningSockets(config.listen, count));
  std::unique_ptr<Gateway> gateway(new Gateway(config));
  gateway->spool_ = std::move(spool);
  gateway->access_log_ = std::move(access_log);
  gateway->names_ = std::make_unique<upstream::NameResolver>(
      config.upstream.lookup, config.upstream.name_time_to_live,
      [raw = gateway.get()](const std::string& host,
                            std::shared_ptr<const upstream::Resolution> found) {
        raw->PostToAll([host, found](Worker& worker) { worker.AdoptName(host, found); });
      });
  gateway->address_ = sockets.address;
  gateway->port_ = sockets.port;
  for (size_t i = 0; i < count; ++i) {
    gateway->workers_.push_back(std::make_unique<Worker>(
        i, gateway->config_, gateway->load_, *gateway->spool_, sockets.fds[i], std::move(tls[i]),
        *gateway->names_, failures, gateway->access_log_.get()));
    gateway->workers_.back()->OnIdle([raw = gateway.get()] {
      base::MutexLock lock(raw->mutex_);
      raw->became_idle_.SignalAll();
    });
  }
  base::Log(base::LogLevel::kInfo, "gateway", "limits",
            {{"connections", gateway->load_.connections.all()},
             {"connections_per_client", gateway->load_.connections.per_client()}});
  for (const auto& worker : gateway->workers_) worker->Start();
  if (!config.admin_listen.empty()) {
    Gateway* const raw = gateway.get();
    ASSIGN_OR_RETURN(
        gateway->admin_,
        Admin::Start(gateway->config_, {.metrics = [raw] { return raw->CollectMetrics(); },
                                        .readiness = [raw] { return raw->Readiness(); }}));
  }
  return gateway;
}

Gateway::Gateway(const GatewayConfig& config) : config_(config), load_(config_) {}

Gateway::~Gateway() { Drain(absl::ZeroDuration()); }

template <typename Task>
void Gateway::PostToAll(Task task) {
  // A worker that acts on it must not be ahead of one that has not heard of it.
  for (const auto& worker : workers_) {
    worker->Enqueue([raw = worker.get(), task] { task(*raw); });
  }
  for (const auto& worker : workers_) worker->Wake();
}

void Gateway::Publish(std::shared_ptr<const routing::RouteTable> table) {
  auto snapshot = std::make_shared<RoutingSnapshot>();
  snapshot->table = std::move(table);
  base::MutexLock lock(mutex_);
  if (stopped_) return;
  snapshot->generation = ++generation_;
  table_ = snapshot->table;
  for (const routing::Service& service : snapshot->table->services()) {
    // A service keeps its counters, for exchanges keep the table that they began with.
    std::shared_ptr<ExchangeCounts>& counts = counts_[service.job_id];
    if (counts == nullptr) counts = std::make_shared<ExchangeCounts>(workers_.size());
    snapshot->counts.emplace(service.job_id, counts);
  }
  absl::erase_if(counts_, [&](const auto& entry) {
    return snapshot->table->Find(entry.first) == nullptr && entry.second->Sum() == 0;
  });
  PostToAll([snapshot](Worker& worker) { worker.Adopt(snapshot); });
  std::vector<std::string> hosts;
  for (const routing::Service& service : snapshot->table->services()) {
    if (!service.backend.host.empty()) hosts.push_back(service.backend.host);
  }
  names_->Keep(hosts);
}

int Gateway::InFlight(std::string_view job_id) const {
  base::MutexLock lock(mutex_);
  int sum = 0;
  if (const auto found = counts_.find(base::ToAbsl(job_id)); found != counts_.end())
    sum = found->second->Sum();
  if (stopped_) return sum;
  for (const auto& worker : workers_) {
    if (worker->adopted_generation() != generation_) ++sum;
  }
  return sum;
}

void Gateway::CutExchanges(std::string_view job_id) {
  base::MutexLock lock(mutex_);
  if (stopped_) return;
  PostToAll([job_id = std::string(job_id)](Worker& worker) {
    worker.Cut(
        job_id,
        base::TokenError(base::ErrorToken::kServiceDraining,
                         absl::StrFormat("service %s was stopped before it had answered", job_id)));
  });
}

void Gateway::BeginDrain() { StopTaking(config_.drain_notice); }

void Gateway::StopTaking(absl::Duration notice) {
  {
    base::MutexLock lock(mutex_);
    if (std::exchange(draining_, true)) return;
  }
  PostToAll([](Worker& worker) { worker.FailReadiness(); });
  WaitUntilIdle(notice);  // all of it: workers that accept are not idle
  PostToAll([](Worker& worker) { worker.StopAccepting(); });
}

void Gateway::Drain(absl::Duration limit) {
  {
    base::MutexLock lock(mutex_);
    if (stopped_) return;
  }
  StopTaking(limit > absl::ZeroDuration() ? config_.drain_notice : absl::ZeroDuration());
  if (!WaitUntilIdle(limit)) {
    PostToAll([](Worker& worker) { worker.Cut("", ShuttingDown()); });
    if (!WaitUntilIdle(kLastWords)) {
      PostToAll([](Worker& worker) { worker.Abort(); });
      WaitUntilIdle(absl::InfiniteDuration());
    }
  }
  admin_.reset();
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;  // whatever was posted before is done before the workers end
  }
  PostToAll([](Worker& worker) { worker.Finish(); });
  for (const auto& worker : workers_) worker->Join();
}

std::string Gateway::admin_address() const {
  return admin_ == nullptr ? std::string() : admin_->address();
}

uint16_t Gateway::admin_port() const { return admin_ == nullptr ? 0 : admin_->port(); }

LocalReply Gateway::Readiness() const {
  base::MutexLock lock(mutex_);
  return ReadinessReply(draining_, generation_ > 0);
}

void Gateway::ReopenAccessLog() {
  if (access_log_ != nullptr) access_log_->Reopen();
}

std::optional<GatewayMetrics> Gateway::CollectMetrics() {
  GatewayMetrics metrics;
  const auto collection = std::make_shared<Collection>();
  {
    base::MutexLock lock(collection->mutex);
    collection->missing = workers_.size();
  }
  {
    base::MutexLock lock(mutex_);
    if (stopped_) return std::nullopt;
    metrics.table = table_;
    PostToAll([collection](Worker& worker) {
      WorkerMetrics told = worker.CollectMetrics();
      base::MutexLock mine(collection->mutex);
      collection->sum.Add(told);
      if (--collection->missing == 0) collection->told.SignalAll();
    });
  }
  if (metrics.table == nullptr) metrics.table = routing::RouteTable::Build({});
  metrics.spool_file_bytes = spool_->file_bytes();
  metrics.spool_memory_bytes = spool_->memory_bytes();
  if (access_log_ != nullptr) metrics.lost_log_lines = access_log_->lost_lines();
  const absl::Duration end = base::RealClock().Monotonic() + kCollectLimit;
  base::MutexLock lock(collection->mutex);
  while (collection->missing > 0) {
    const absl::Duration left = end - base::RealClock().Monotonic();
    if (left <= absl::ZeroDuration()) return std::nullopt;
    collection->told.WaitWithTimeout(collection->mutex, left);
  }
  metrics.workers = std::move(collection->sum);
  return metrics;
}

bool Gateway::IsIdle() const {
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const auto& worker) { return worker->active() == 0; });
}

bool Gateway::WaitUntilIdle(absl::Duration limit) {
  const absl::Duration end = base::RealClock().Monotonic() + limit;
  base::MutexLock lock(mutex_);
  while (!IsIdle()) {
    const absl::Duration left = end - base::RealClock().Monotonic();
    if (left <= absl::ZeroDuration()) return false;
    became_idle_.WaitWithTimeout(mutex_, left);
  }
  return true;
}

std::shared_ptr<InferStream> Gateway::PostInfer(InferCall call,
                                                std::shared_ptr<InferReceiver> receiver) {
  Worker& worker = *workers_[next_worker_.fetch_add(1) % workers_.size()];
  auto exchange = std::make_shared<InferExchange>(worker, std::move(call), receiver);
  auto stream = std::make_shared<InferStream>(worker, exchange);
  {
    base::MutexLock lock(mutex_);
    if (!stopped_) {
      worker.Post([&worker, exchange = std::move(exchange)] {
        transport::Spawn(worker.io(), InferExchange::Run(exchange));
      });
      return stream;
    }
  }
  receiver->OnEnd(ShuttingDown());
  return stream;
}

}  // namespace tao::gateway
