#include "gateway/exchange.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <utility>

#include "gateway/http_error.h"
#include "gateway/worker.h"
#include "server/base/errors.h"
#include "server/routing/resolver.h"

namespace tao::gateway {

using base::ErrorToken;
using transport::BodyPiece;
using transport::Task;

namespace {

// A body up to this size is read to its end before its service hears of it: a bad one then touches
// no backend, and a good one goes out in one write with its head.
constexpr size_t kHoldBytes = 64 * 1024;

// How much of a kept file is sent in one go.
constexpr size_t kFileWindow = 1024 * 1024;
// The same where it has to pass through memory (TLS).
constexpr size_t kReadWindow = 64 * 1024;

bool IsUpstreamFailure(const absl::Status& status) {
  const std::optional<ErrorToken> token = base::TokenOf(status);
  return token == ErrorToken::kUpstreamConnect || token == ErrorToken::kUpstreamReset ||
         token == ErrorToken::kUpstreamTimeout || token == ErrorToken::kModelNotReady;
}

bool IsTimeout(const absl::Status& status) {
  return base::TokenOf(status) == ErrorToken::kUpstreamTimeout;
}

}  // namespace

std::string_view ToString(ExchangeStage stage) {
  switch (stage) {
    case ExchangeStage::kBody:
      return "body";
    case ExchangeStage::kHeld:
      return "held";
    case ExchangeStage::kConnect:
      return "connect";
    case ExchangeStage::kFirstByte:
      return "first_byte";
    case ExchangeStage::kAnswer:
      return "answer";
  }
  return "";
}

Exchange::Exchange(Worker& worker, ExchangeClient& client, ExchangeRequest request,
                   ExchangeTimes& times)
    : worker_(worker),
      client_(client),
      request_(std::move(request)),
      times_(times),
      snapshot_(worker.routing()),
      secrets_(worker.secrets()),
      routing_(*snapshot_->table, request_.selector, Rules()),
      body_(client, routing_, worker.config().max_body_bytes, request_.body_length, times),
      heartbeat_(client, body_, worker.config()),
      wake_up_(worker.io()),
      kept_(worker.spool(), worker.io()),
      upload_ended_(worker.io()) {
  worker_.Register(this);
}

BodyRules Exchange::Rules() const {
  const GatewayConfig& config = worker_.config();
  return {.contracts = config.contracts.get(),
          .secrets = secrets_.get(),
          .strict = config.strict || request_.strict};
}

Exchange::~Exchange() {
  worker_.Unregister(this);
  if (counted_ != nullptr) counted_->End(worker_.index());
}

Task<absl::Status> Exchange::Run() {
  absl::Status status = body_.CheckLength();
  if (status.ok()) status = routing_.OnHead();
  if (status.ok()) status = co_await HoldBody();
  if (status.ok()) status = co_await AwaitService();
  if (status.ok()) status = co_await SendRequest();
  if (status.ok()) {
    stage_ = ExchangeStage::kFirstByte;
    relay_.emplace(*upstream_, client_, heartbeat_, *service(), routing_.keys(), body_,
                   request_.forward.request_id, request_.may_translate, times_);
    status = co_await relay_->Run();
  }
  status = Reason(std::move(status));
  Report(status);
  answer_begun_ = heartbeat_.has_begun_stream() || (relay_.has_value() && relay_->begun());
  if (!status.ok() && answer_begun_) {
    if (upstream_ != nullptr) upstream_->Abort();
    answer_begun_ = !client_.WithdrawAnswer();
    const bool between_events = !relay_.has_value() || relay_->between_events();
    if (answer_begun_) co_await client_.FailAnswer(status, between_events);
  }
  co_await EndUpload();
  Recycle();
  co_return status;
}

// Reads the body until it is whole, or until it is long and can be sent on: the rest then passes
// through without being kept.
Task<absl::Status> Exchange::HoldBody() {
  const bool is_long =
      request_.waits_for_continue || !body_.length().has_value() || *body_.length() > kHoldBytes;
  if (is_long && service() != nullptr) {
    // Spare the client the sending.
    absl::Status serving = routing::CheckServing(*service());
    const bool may_wait = base::TokenOf(serving) == ErrorToken::kModelNotReady &&
                          ColdStartWait() > absl::ZeroDuration();
    if (!serving.ok() && !may_wait) co_return serving;
  }
  if (service() == nullptr || !routing::CheckServing(*service()).ok()) {
    absl::Status room = kept_.Reserve(body_.length().value_or(0));
    if (!room.ok()) co_return room;
  }
  while (!body_.done() && MustKeepMore()) {
    BodyPiece piece;
    absl::Status status = co_await body_.Next(&piece);
    if (!status.ok()) co_return status;
    if (kept_.size() == 0 && piece.last) {
      beginning_ = piece.data;
      co_return absl::OkStatus();
    }
    status = co_await kept_.Append(piece.data);
    if (!status.ok()) co_return status;
  }
  kept_.Trim();
  beginning_ = kept_.memory();
  co_return absl::OkStatus();
}

// Short bodies are kept whole; long ones until their service is known, and can take them. One in a
// file whose length is not known is kept to its end, and is then sent with a length.
bool Exchange::MustKeepMore() const {
  if (service() == nullptr || kept_.size() < kHoldBytes) return true;
  if (kept_.in_file() && !body_.length().has_value()) return true;
  const routing::Service* const now = worker_.routing()->table->Find(service()->job_id);
  return now != nullptr && !routing::CheckServing(*now).ok();
}

// By the newest table: while the body was read the service may have begun to stop, and Stop counts
// on it that nothing new is sent then.
absl::Status Exchange::CheckService() {
  if (!cancelled_.ok()) return cancelled_;
  const routing::Service* const now = worker_.routing()->table->Find(service()->job_id);
  if (now == nullptr) {
    return base::TokenError(
        ErrorToken::kServiceDraining,
        absl::StrFormat("service %s was stopped before it got the request", service()->job_id));
  }
  routing_.Rebind(*worker_.routing()->table, *now);
  snapshot_ = worker_.routing();
  return routing::CheckServing(*now);
}

// Sends the head and what is held of the body, in one write, and lets the rest of the body follow
// while the answer is awaited.
Task<absl::Status> Exchange::SendRequest() {
  stage_ = ExchangeStage::kConnect;
  routing_.Commit();
  counted_ = snapshot_->counts.at(service()->job_id);  // CheckService has found it there
  counted_->Begin(worker_.index());
  const std::optional<uint64_t> length =
      body_.done() ? std::optional<uint64_t>(kept_.in_file() ? kept_.size() : beginning_.size())
                   : body_.length();
  std::string head;
  if (!upstream::AppendRequestHead(head, request_.forward, service()->backend, length)) {
    co_return absl::InternalError(absl::StrFormat(
        "service %s: its address or credential holds bytes that HTTP cannot carry; check its entry "
        "in the registry file",
        service()->job_id));
  }
  coder_ = upstream::BodyCoder(!length.has_value());
  const bool is_whole = body_.done() && !kept_.in_file();
  const BodyPiece beginning{beginning_, is_whole};
  const transport::Gather text = coder_.Encode(beginning, head);

  LimitTime();
  bool try_again = true;
  while (try_again) {
    absl::Status connected = co_await Connect();
    if (!connected.ok()) co_return connected;
    bool accepted_nothing = false;
    const absl::Status sent = co_await upstream_->Send(text, &accepted_nothing);
    if (!cancelled_.ok()) co_return cancelled_;
    // A connection that broke while it idled has carried nothing: another one may be tried. Once
    // the kernel took a byte the backend may have seen it, and a POST is not sent twice (RFC 9110
    // section 9.2.2); its answer may even be there already, so ReadHead tells what became of it.
    try_again = !sent.ok() && upstream_->was_used() && accepted_nothing;
    if (IsTimeout(sent)) co_return sent;
  }
  times_.sent = ExchangeTimes::Now();
  if (!is_whole) {
    times_.sendable = times_.sent;
    uploading_ = true;
    transport::Spawn(worker_.io(), Upload());
  }
  co_return absl::OkStatus();
}

void Exchange::LimitTime() {
  timeouts_ = base::Overridden(worker_.config().upstream.timeouts, service()->timeouts);
  // Who is given a stream hears of us however silent the backend is, and so does not give up.
  const bool may_stream = WantsEvents() || !body_.done();
  if (!may_stream) timeouts_ = base::Narrowed(timeouts_, request_.wishes.timeouts);
  if (timeouts_.total == absl::InfiniteDuration()) return;
  total_deadline_.emplace(worker_.wheel(), [this] {
    Cancel(base::TokenError(
        ErrorToken::kUpstreamTimeout,
        absl::StrFormat("service %s: its answer was not whole within %s, the limit of an exchange; "
                        "ask for less, or have the limit raised (total_s of its arch in "
                        "request.yaml, --total-timeout-seconds)",
                        service()->job_id, absl::FormatDuration(timeouts_.total))));
  });
  total_deadline_->Arm(transport::DeadlineWheel::After(timeouts_.total));
}

Task<absl::Status> Exchange::Connect() {
  if (!cancelled_.ok()) co_return cancelled_;
  upstream_ = worker_.pool().Take(*service());
  const bool pooled = upstream_ != nullptr;
  if (!pooled) {
    upstream_ =
        std::make_unique<upstream::UpstreamConnection>(worker_.upstream_parts(), *service());
  }
  upstream_->SetTimeouts(timeouts_);
  if (pooled) {
    ++worker_.metrics().upstream_reused;
    co_return absl::OkStatus();
  }
  const int64_t begun = ExchangeTimes::Now();
  absl::Status connected = co_await upstream_->Connect();
  times_.sendable = ExchangeTimes::Now();
  times_.connect += times_.sendable - begun;
  if (connected.ok()) ++worker_.metrics().upstream_opened;
  co_return connected;
}

// Passes on the rest of the body, each piece after it was judged.
Task<void> Exchange::Upload() {
  absl::Status sent = co_await SendKept();
  while (!body_.done() && sent.ok()) {
    BodyPiece piece;
    absl::Status judged = co_await body_.Next(&piece);
    if (!judged.ok()) {
      upload_error_ = std::move(judged);
      upstream_->Abort();  // it has no whole request, and must never get one
      break;
    }
    // A reset shows to whoever reads the answer, which may have come early.
    sent = co_await upstream_->Send(coder_.Encode(piece));
  }
  if (IsTimeout(sent)) {
    upload_error_ = sent;
    upstream_->Abort();
  }
  if (times_.head == 0) times_.SentWhileRead();
  upload_ended_.Set();
}

// What was kept in a file: straight from there where the connection is plain.
Task<absl::Status> Exchange::SendKept() {
  if (!kept_.in_file()) co_return absl::OkStatus();
  const size_t window = upstream_->is_tls() ? kReadWindow : kFileWindow;
  std::string room;
  absl::Status sent;
  for (uint64_t at = 0; at < kept_.size() && sent.ok(); at += window) {
    const size_t count = std::min<uint64_t>(window, kept_.size() - at);
    if (upstream_->is_tls()) {
      room.resize(count);
      sent = co_await kept_.Read(at, count, room.data());
      const transport::Gather text(room);
      if (sent.ok()) sent = co_await upstream_->Send(text);
    } else {
      co_await kept_.Preload(at, count);
      sent = co_await upstream_->SendFile(kept_.fd(), at, count);
    }
    if (absl::IsInternal(sent)) {  // the disk, not the backend
      upload_error_ = sent;
      upstream_->Abort();
    }
  }
  co_return sent;
}

// The answer is over. A backend that answered before it had the whole request does not want the
// rest.
Task<void> Exchange::EndUpload() {
  if (!uploading_) co_return;
  if (!upload_ended_.is_set()) {
    upstream_->Abort();
    client_.Interrupt();
  }
  co_await upload_ended_.Wait();
}

void Exchange::Cancel(absl::Status why) {
  if (!cancelled_.ok()) return;
  cancelled_ = std::move(why);
  if (upstream_ != nullptr) upstream_->Abort();
  wake_up_.Set();
  client_.Interrupt();
}

// Why the exchange ended as `status` says: what broke off a read may have been ourselves.
absl::Status Exchange::Reason(absl::Status status) const {
  if (status.ok()) return status;
  if (!cancelled_.ok()) return cancelled_;
  if (!upload_error_.ok()) return upload_error_;
  return status;
}

// The prober shall look at once at a service that failed, or says itself that it is not ready.
void Exchange::Report(const absl::Status& status) {
  if (upstream_ == nullptr) return;
  if (IsUpstreamFailure(status) || answer_status() == 503) worker_.ReportFailure(service()->job_id);
}

void Exchange::Recycle() {
  if (upstream_ == nullptr || !relay_.has_value() || !relay_->complete() || !body_.done()) return;
  worker_.Recycle(std::move(upstream_));
}

}  // namespace tao::gateway
