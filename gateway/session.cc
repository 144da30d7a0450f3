#include "gateway/session.h"

#include <absl/strings/str_format.h>

#include <utility>

#include "gateway/exchange.h"
#include "gateway/exchange_times.h"
#include "gateway/http_error.h"
#include "gateway/http_exchange_client.h"
#include "gateway/models.h"
#include "gateway/request_schema.h"
#include "gateway/worker.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::gateway {

using http::Method;
using transport::DeadlineWheel;
using transport::Task;

void Session::Begin(Worker& worker, transport::TcpSocket socket,
                    std::optional<ConnectionLimit::Ticket> ticket,
                    ConnectionLimit::Refusal refusal) {
  std::unique_ptr<Session> session(
      new Session(worker, std::move(socket), std::move(ticket), refusal));
  transport::Spawn(worker.io(), Run(std::move(session)));
}

Session::Session(Worker& worker, transport::TcpSocket socket,
                 std::optional<ConnectionLimit::Ticket> ticket, ConnectionLimit::Refusal refusal)
    : worker_(worker),
      ticket_(std::move(ticket)),
      refusal_(refusal),
      downstream_(std::move(socket), worker.wheel(), worker.config()) {
  downstream_.OnHangup([this] { OnHangup(); });
  worker_.Register(this);
}

Session::~Session() { worker_.Unregister(this, refusal_ != ConnectionLimit::Refusal::kNone); }

Task<void> Session::Run(std::unique_ptr<Session> session) {
  Session& self = *session;
  if (self.refusal_ != ConnectionLimit::Refusal::kNone) co_await self.Refuse();
  while (self.keep_open_) {
    const absl::Status arrived = co_await self.downstream_.ReadHead(self.IdleLimit());
    if (absl::IsCancelled(arrived)) co_return;
    self.first_request_ = false;
    if (arrived.ok()) {
      co_await self.ServeRequest();
    } else {
      // Out of step: whatever follows on the connection is no request (RFC 9112 section 2.2).
      self.keep_open_ = false;
      self.request_id_ = self.worker_.NewRequestId();
      self.request_.endpoint = Endpoint::kNone;
      LocalReply reply = ErrorReply(arrived);
      co_await self.Send(std::move(reply));
    }
    self.downstream_.EndRequest();
  }
  if (!self.lost_) co_await self.downstream_.Linger();
}

Task<void> Session::Refuse() {
  const ConnectionLimit& limit = worker_.load().connections;
  keep_open_ = false;
  request_id_ = worker_.NewRequestId();
  LocalReply reply = ErrorReply(base::TokenError(
      base::ErrorToken::kOverflow,
      refusal_ == ConnectionLimit::Refusal::kTooMany
          ? absl::StrFormat("this gateway has all the %d connections that it takes "
                            "(--max-connections); try again later",
                            limit.all())
          : absl::StrFormat("your address has all the %d connections that one client may have here "
                            "(--max-connections-per-client); close some, or use each for several "
                            "requests",
                            limit.per_client())));
  co_await Send(std::move(reply));
}

// A new connection means to send something at once; a used one may idle.
absl::Duration Session::IdleLimit() const {
  if (!worker_.accepting()) return absl::Seconds(1);
  return first_request_ ? worker_.config().head_timeout : worker_.config().idle_timeout;
}

Task<void> Session::ServeRequest() {
  const http::RequestHead& head = downstream_.head();
  request_id_ = std::string(UsableRequestId(head.fields));
  const absl::Status understood = ReadRequest(head, &request_);
  if (!understood.ok()) {
    keep_open_ = false;
    if (request_id_.empty()) request_id_ = worker_.NewRequestId();
    LocalReply reply = ErrorReply(understood);
    co_return co_await Send(std::move(reply));
  }
  keep_open_ = http::KeepsConnection(head.version, request_.forwarding);
  if (request_.expects_continue) downstream_.ExpectContinue();
  if (request_.endpoint == Endpoint::kChat && head.method == Method::kPost) {
    co_return co_await ServeChat();
  }
  if (request_id_.empty()) request_id_ = worker_.NewRequestId();
  LocalReply reply = Answer();
  co_await Send(std::move(reply));
}

Task<void> Session::ServeChat() {
  const http::RequestHead& head = downstream_.head();
  // Unique upstream, whatever clients call their requests.
  const std::string own_id = worker_.NewRequestId();
  const std::string upstream_id = request_id_.empty() ? own_id : request_id_ + "-" + own_id;
  if (request_id_.empty()) request_id_ = own_id;

  if (downstream_.framing().kind == http::BodyFraming::Kind::kNone) {
    // Bytes that follow may be meant as the body: they must not be read as a request.
    keep_open_ = false;
    LocalReply reply = ErrorReply(HttpError(
        411, "a chat completion needs a body, with Content-Length or Transfer-Encoding: chunked"));
    co_return co_await Send(std::move(reply));
  }
  const absl::Status type = CheckMediaType(head.fields);
  if (!type.ok()) {
    LocalReply reply = ErrorReply(type);
    co_return co_await Send(std::move(reply));
  }

  ExchangeRequest exchange_request;
  exchange_request.selector = std::move(request_.selector);
  exchange_request.forward.path = request_.target.path;
  if (head.has_query) exchange_request.forward.query = head.query;
  exchange_request.forward.fields = &head.fields;
  exchange_request.forward.kept = request_.forwarding.kept;
  exchange_request.forward.received = head.version;
  exchange_request.forward.request_id = upstream_id;
  if (downstream_.framing().kind == http::BodyFraming::Kind::kLength) {
    exchange_request.body_length = downstream_.framing().length;
  }
  exchange_request.waits_for_continue = request_.expects_continue;
  exchange_request.wishes = ReadWishes(head.fields);
  exchange_request.strict = request_.strict;
  exchange_request.may_translate = true;

  ExchangeTimes times;
  HttpExchangeClient client(worker_, downstream_, request_id_, keep_open_, times);
  Exchange exchange(worker_, client, std::move(exchange_request), times);
  exchange_ = &exchange;
  absl::Status status = ClientLeft();
  if (!hung_up_) status = co_await exchange.Run();
  exchange_ = nullptr;

  lost_ = IsClientLeft(status);
  keep_open_ = status.ok() && client.keeps_open();
  if (!status.ok() && !lost_ && !exchange.answer_begun()) {
    // What was begun to be read is not waited for: the answer goes out at once.
    keep_open_ = downstream_.in_step() && (downstream_.body_done() || exchange.body_bytes() == 0);
    LocalReply reply = ErrorReply(status);
    ReplyContext about;
    const ServerTiming timing(times);
    if (const routing::Service* const service = exchange.service(); service != nullptr) {
      about.job_id = service->job_id;
      about.network_arch = service->network_arch;
      about.server_timing = timing.text();
    }
    co_await Send(std::move(reply), about);
  }
  worker_.Report({request_id_, "POST", head.path}, exchange, times, status);
}

LocalReply Session::Answer() const {
  const Method method = downstream_.head().method;
  const Endpoint endpoint = request_.endpoint;
  if (endpoint == Endpoint::kNone) {
    return ErrorReply(
        HttpError(404, absl::StrFormat("there is nothing at %s; this gateway serves POST "
                                       "/v1/chat/completions and GET /v1/models, also under "
                                       "/services/{job_id} and /archs/{network_arch}, and there "
                                       "GET /schema",
                                       base::Quoted(downstream_.head().path))));
  }
  if (method == Method::kOptions) return {.status = 204, .allow = AllowedMethods(endpoint)};
  if (!Allows(endpoint, method)) {
    LocalReply reply = ErrorReply(
        HttpError(405, absl::StrFormat("%s takes %s", base::Quoted(downstream_.head().path),
                                       AllowedMethods(endpoint))));
    reply.allow = AllowedMethods(endpoint);
    return reply;
  }
  return AnswerGet();
}

LocalReply Session::AnswerGet() const {
  absl::StatusOr<std::string> body = std::string();
  switch (request_.endpoint) {
    case Endpoint::kLivez:
      return {.body = R"({"status":"ok"})"};
    case Endpoint::kReadyz:
      return ReadinessReply(worker_.draining(), worker_.has_table());
    case Endpoint::kModel: {
      std::string id;
      if (!http::PercentDecode(request_.model_id, &id)) {
        return ErrorReply(HttpError(400, "the model's id is not percent-encoded text"));
      }
      body = ModelEntry(*worker_.routing()->table, request_.selector, id);
      break;
    }
    case Endpoint::kSchema: {
      absl::StatusOr<std::string> schema = RequestSchema(
          *worker_.routing()->table, request_.selector, worker_.config().request_schemas);
      if (!schema.ok()) return ErrorReply(schema.status());
      return {.body = *std::move(schema), .content_type = "application/schema+json"};
    }
    default:
      body = ModelList(*worker_.routing()->table, request_.selector);
      break;
  }
  if (!body.ok()) return ErrorReply(body.status());
  return {.body = *std::move(body)};
}

// Answers what is no exchange.
Task<void> Session::Send(LocalReply reply) {
  worker_.metrics().CountOther(request_.endpoint, reply.status, reply.token);
  const ReplyContext about;
  co_await Send(std::move(reply), about);
}

// Answers, once the request's body is out of the way.
Task<void> Session::Send(LocalReply reply, const ReplyContext& about) {
  if (keep_open_) {
    const absl::Status skipped = co_await downstream_.SkipBody();
    if (!skipped.ok()) reply = ErrorReply(skipped);
    lost_ = IsClientLeft(skipped);
    if (lost_) keep_open_ = false;
  }
  if (lost_) co_return;
  if (!downstream_.body_done() || !worker_.accepting()) keep_open_ = false;
  ReplyContext context = about;
  context.date = worker_.Date();
  context.request_id = request_id_;
  context.is_head = downstream_.head().method == Method::kHead;
  context.close = !keep_open_;
  const std::string text = Render(reply, context);
  const transport::Gather gather(text);
  lost_ = !co_await downstream_.Write(gather);
  if (lost_) keep_open_ = false;
}

void Session::OnHangup() {
  hung_up_ = true;
  if (exchange_ != nullptr) exchange_->Cancel(ClientLeft());
}

void Session::OnDrain() {
  if (downstream_.is_idle()) downstream_.Interrupt();
}

void Session::Abort() {
  if (exchange_ != nullptr) exchange_->Cancel(ClientLeft());
  downstream_.Abort();
}

}  // namespace tao::gateway
