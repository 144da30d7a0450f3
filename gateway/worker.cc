#include "gateway/worker.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <pthread.h>

#include <random>
#include <utility>
#include <vector>

#include "gateway/exchange.h"
#include "gateway/session.h"
#include "server/base/log.h"

namespace tao::gateway {

namespace net = transport::net;

namespace {

// How long a connection whose answer is complete for the client is read on, to be used again.
constexpr absl::Duration kRecycleLimit = absl::Seconds(1);
constexpr size_t kMostRefusing = 64;

uint64_t RandomSalt() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

std::shared_ptr<const RoutingSnapshot> NoTable() {
  auto snapshot = std::make_shared<RoutingSnapshot>();
  snapshot->table = routing::RouteTable::Build({});
  return snapshot;
}

}  // namespace

Worker::Worker(size_t index, const GatewayConfig& config, GatewayLoad& load, spool::Spool& spool,
               int listen_fd, std::unique_ptr<upstream::TlsClient> tls,
               upstream::NameResolver& names, routing::FailureListener* failures,
               AccessLogFile* access_log)
    : index_(index),
      config_(config),
      load_(load),
      spool_(spool),
      failures_(failures),
      wheel_(io_),
      names_([&names](const std::string& host) { names.Ask(host); }),
      tls_(std::move(tls)),
      upstream_parts_{io_, wheel_, config.upstream, names_, *tls_},
      pool_(wheel_, config.upstream),
      routing_(NoTable()),
      access_log_(access_log, wheel_),
      request_id_salt_(RandomSalt()),
      listener_(io_, wheel_, listen_fd,
                [this](transport::TcpSocket socket, const net::ip::address& client) {
                  Serve(std::move(socket), client);
                }) {}

Worker::~Worker() = default;

void Worker::Start() {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), absl::StrFormat("gateway-%d", index_).c_str());
    listener_.Start();
    io_.Run();
  });
}

void Worker::Post(absl::AnyInvocable<void()> task) { io_.Post(std::move(task)); }

void Worker::Adopt(std::shared_ptr<const RoutingSnapshot> snapshot) {
  routing_ = std::move(snapshot);
  pool_.Retain(*routing_->table);
  names_.Retain(*routing_->table);
  tls_->Retain(*routing_->table);
  metrics_.Retain(*routing_->table);
  adopted_.store(routing_->generation, std::memory_order_release);
  for (transport::Signal* const signal : table_watches_) signal->Set();
}

void Worker::StopAccepting() {
  draining_ = true;
  accepting_ = false;
  for (Session* const session : sessions_) session->OnDrain();
  listener_.Stop();  // connections that were already there get one answer each
  CountActive();
}

void Worker::Cut(std::string_view job_id, const absl::Status& why) {
  const std::vector<Exchange*> exchanges(exchanges_.begin(), exchanges_.end());
  for (Exchange* const exchange : exchanges) {
    const routing::Service* const service = exchange->service();
    if (job_id.empty() || (service != nullptr && service->job_id == job_id)) exchange->Cancel(why);
  }
}

void Worker::Abort() {
  const std::vector<Session*> sessions(sessions_.begin(), sessions_.end());
  for (Session* const session : sessions) session->Abort();
}

WorkerMetrics Worker::CollectMetrics() const {
  WorkerMetrics now = metrics_;
  now.connections = sessions_.size();
  now.upstream_idle = pool_.idle();
  for (const Exchange* const exchange : exchanges_) {
    const ExchangeStage stage = exchange->stage();
    ++now.exchanges[static_cast<size_t>(stage)];
    // By then it has a service.
    if (stage < ExchangeStage::kConnect) continue;
    const std::string& job_id = exchange->service()->job_id;
    if (routing_->table->Find(job_id) != nullptr) ++now.services[job_id].in_flight;
  }
  return now;
}

void Worker::Report(const AccessLogRequest& request, const Exchange& exchange,
                    const ExchangeTimes& times, const absl::Status& status) {
  const ExchangeEnd end = EndOf(exchange, status, times);
  metrics_.Count(end, times, *routing_->table);
  WriteAccessLog(access_log_, request, exchange, times, end, status);
}

void Worker::Finish() {
  access_log_.Flush();
  pool_.Clear();
  io_.Stop();
}

std::string_view Worker::Date() { return date_.Format(absl::Now()); }

std::string Worker::NewRequestId() {
  // By hand: every request has one.
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id = "req-000000000000000000000000";
  uint64_t number = ++requests_ & 0xffffffff;
  for (size_t i = id.size() - 1; i >= id.size() - 8; --i, number >>= 4)
    id[i] = kDigits[number & 15];
  uint64_t salt = request_id_salt_ + (requests_ >> 32);
  for (size_t i = id.size() - 9; i >= 4; --i, salt >>= 4) id[i] = kDigits[salt & 15];
  return id;
}

void Worker::Unregister(Session* session, bool was_refused) {
  sessions_.erase(session);
  if (was_refused) --refusing_;
  CountActive();
}

void Worker::Unregister(Exchange* exchange) {
  exchanges_.erase(exchange);
  CountActive();
}

void Worker::Recycle(std::unique_ptr<upstream::UpstreamConnection> connection) {
  if (!accepting_) return;
  if (connection->Finish()) return pool_.Put(std::move(connection));
  if (!connection->MayFinish()) return;
  ++recycling_;
  CountActive();
  transport::Spawn(io_, DrainAndPool(std::move(connection)));
}

transport::Task<void> Worker::DrainAndPool(
    std::unique_ptr<upstream::UpstreamConnection> connection) {
  transport::Deadline limit(wheel_, [&connection] { connection->Abort(); });
  limit.Arm(transport::DeadlineWheel::After(kRecycleLimit));
  transport::BodyPiece piece;
  absl::Status status;
  while (status.ok() && !piece.last) status = co_await connection->ReadBody(&piece);
  limit.Disarm();
  if (status.ok() && connection->Finish()) pool_.Put(std::move(connection));
  --recycling_;
  CountActive();
}

void Worker::ReportFailure(std::string_view job_id) {
  if (failures_ != nullptr) failures_->OnExchangeFailed(job_id);
}

void Worker::Serve(transport::TcpSocket socket, const net::ip::address& client) {
  ++metrics_.connections_accepted;
  using Refusal = ConnectionLimit::Refusal;
  Refusal refusal = Refusal::kNone;
  auto ticket = load_.connections.Take(ConnectionLimit::ClientOf(client), &refusal);
  if (!ticket.has_value()) {
    // Being refused takes a descriptor too, for a moment.
    if (refusing_ >= kMostRefusing) return;
    if (refusing_++ == 0) {
      base::Log(base::LogLevel::kWarning, "gateway",
                refusal == Refusal::kTooMany ? "too many connections; new ones are refused"
                                             : "too many connections of one client; new ones of "
                                               "it are refused",
                {{"client", client.to_string()}, {"connections", load_.connections.open()}});
    }
  }
  Session::Begin(*this, std::move(socket), std::move(ticket), refusal);
  CountActive();
}

void Worker::CountActive() {
  const size_t active = sessions_.size() + exchanges_.size() + recycling_ + (accepting_ ? 1 : 0);
  active_.store(active, std::memory_order_release);
  if (active == 0 && on_idle_) on_idle_();
}

}  // namespace tao::gateway
