#include "gateway/answer_relay.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <utility>

#include "gateway/chat/json_to_sse.h"
#include "gateway/chat/routing_keys.h"
#include "gateway/container_error.h"
#include "gateway/http/grammar.h"
#include "gateway/infer_status.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::gateway {

using http::FieldId;
using transport::BodyPiece;
using transport::Task;

namespace {

// How much of an answer is read to find the container's own word in it. Its errors are far shorter.
constexpr size_t kShortAnswerBytes = 64 * 1024;

absl::Status NotReady(const routing::Service& service, const ContainerError& said) {
  return base::TokenError(
      base::ErrorToken::kModelNotReady,
      absl::StrFormat("service %s (%s) is not ready yet: %s", service.job_id, service.network_arch,
                      said.message.empty() ? "its container is still loading" : said.message),
      {.type = said.type});
}

}  // namespace

AnswerRelay::AnswerRelay(upstream::UpstreamConnection& upstream, ExchangeClient& client,
                         Heartbeat& heartbeat, const routing::Service& service,
                         const chat::RoutingKeys& keys, RequestBody& body,
                         std::string_view request_id, bool may_translate, ExchangeTimes& times)
    : upstream_(upstream),
      client_(client),
      heartbeat_(heartbeat),
      service_(service),
      keys_(keys),
      body_(body),
      request_id_(request_id),
      may_translate_(may_translate),
      times_(times) {}

Task<absl::Status> AnswerRelay::Run() {
  absl::Status status = co_await AwaitHead();
  if (!status.ok()) co_return status;
  status_ = upstream_.head().status;
  times_.head = ExchangeTimes::Now();
  if (heartbeat_.has_begun_stream()) co_return co_await GoOnWithStream();
  if (status_ == 202) co_return co_await RefuseAccepted();

  Answer answer = Plan();
  status = co_await AddAdvice(&answer);
  if (!status.ok()) co_return status;
  if (!short_.empty()) times_.head = ExchangeTimes::Now();  // what was awaited is not our time
  is_event_stream_ = answer.is_event_stream;
  begun_ = true;
  times_.answered = ExchangeTimes::Now();
  answer.notices = body_.TakeNotices();
  status = co_await client_.BeginAnswer(answer);
  if (!status.ok()) co_return status;
  if (answer.is_translated) co_return co_await Translate();
  co_return co_await Relay();
}

// A client that is to get a stream does not wait for ever without a sign of life.
Task<absl::Status> AnswerRelay::AwaitHead() {
  while (true) {
    absl::Status status = co_await upstream_.ReadHead(heartbeat_.due());
    if (!status.ok() || upstream_.has_head()) co_return status;
    if (may_translate_ && keys_.stream() && body_.done()) {
      status = co_await heartbeat_.Beat(service_, kKeepAlive, false);
      if (!status.ok()) co_return status;
    } else {
      heartbeat_.Sent();  // nothing can be sent; look again later
    }
  }
}

// The client has got the head of a stream, before the backend's answer was there. Whatever is no
// stream, and cannot be made one, is an error now.
Task<absl::Status> AnswerRelay::GoOnWithStream() {
  const Answer answer = Plan();
  is_event_stream_ = true;
  if (status_ == 200) times_.answered = ExchangeTimes::Now();
  if (status_ == 200 && answer.is_translated) co_return co_await Translate();
  if (status_ == 200 && answer.is_event_stream) co_return co_await Relay();
  if (status_ == 200) {
    co_return base::TokenError(
        base::ErrorToken::kUpstreamReset,
        absl::StrFormat("service %s answered with something that is neither events nor a plain "
                        "JSON completion (Content-Type %s)",
                        service_.job_id,
                        base::Quoted(upstream_.head().fields.ValueOf(FieldId::kContentType))));
  }
  absl::Status status = co_await ReadShort();
  if (!status.ok()) co_return status;
  if (status_ == 202) co_return NotReady(service_, ParseContainerError(short_));
  co_return StatusOfAnswer(status_, short_, service_);
}

// A 202 says "still loading". OpenAI's clients take every 2xx for an answer, so it becomes the
// error that they retry.
Task<absl::Status> AnswerRelay::RefuseAccepted() {
  absl::Status status = co_await ReadShort();
  if (!status.ok()) co_return status;
  co_return NotReady(service_, ParseContainerError(short_));
}

Answer AnswerRelay::Plan() const {
  const http::ResponseHead& head = upstream_.head();
  Answer answer;
  answer.service = &service_;
  answer.head = &head;
  answer.kept = upstream_.forwarding().kept;
  answer.is_translated =
      may_translate_ && keys_.stream() && status_ == 200 && IsPlain("application/json");
  answer.is_event_stream = answer.is_translated || IsPlain("text/event-stream");
  const http::BodyFraming& framing = upstream_.framing();
  // An event of ours may still have to go into a stream, so its length is open.
  if (answer.is_event_stream) return answer;
  if (framing.kind == http::BodyFraming::Kind::kLength) answer.length = framing.length;
  if (framing.kind == http::BodyFraming::Kind::kNone) answer.length = 0;
  return answer;
}

// Whether the answer is of that type, and not compressed or otherwise encoded.
bool AnswerRelay::IsPlain(std::string_view media_type) const {
  const http::FieldList& fields = upstream_.head().fields;
  return http::HasMediaType(fields.ValueOf(FieldId::kContentType), media_type) &&
         (!fields.Has(FieldId::kContentEncoding) ||
          http::EqualsIgnoreCase(fields.ValueOf(FieldId::kContentEncoding), "identity"));
}

// What OpenAI's clients should do about an error. Left to themselves they send a request that
// failed with a 500 three times over.
Task<absl::Status> AnswerRelay::AddAdvice(Answer* answer) {
  const http::FieldList& fields = answer->head->fields;
  if (fields.Has(FieldId::kXShouldRetry)) co_return absl::OkStatus();
  if (status_ == 400 || status_ == 500) answer->should_retry = false;
  if (status_ != 503) co_return absl::OkStatus();
  if (IsPlain("application/json")) {
    absl::Status status = co_await ReadShort();
    if (!status.ok()) co_return status;
  }
  if (IsFinal(ParseContainerError(short_))) {
    answer->should_retry = false;
  } else if (!fields.Has(FieldId::kRetryAfter)) {
    answer->retry_after_s = base::RuleOf(base::ErrorToken::kModelNotReady).retry_after_s;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AnswerRelay::ReadShort() {
  BodyPiece piece;
  while (!piece.last && short_.size() < kShortAnswerBytes) {
    absl::Status status = co_await upstream_.ReadBody(&piece);
    if (!status.ok()) co_return status;
    short_.append(piece.data);
  }
  short_ended_ = piece.last;
  co_return absl::OkStatus();
}

Task<absl::Status> AnswerRelay::Relay() {
  BodyPiece piece{short_, short_ended_};
  while (true) {
    if (is_event_stream_) {
      FollowEvents(piece.data);
      // Clients leave at [DONE], so the end of the body goes out in the same write.
      if (events_.done_seen()) piece.last = true;
    }
    absl::Status status = co_await Write(piece.data, piece.last);
    if (!status.ok() || piece.last) co_return status;
    status = co_await NextPiece(&piece);
    if (!status.ok()) co_return status;
  }
}

void AnswerRelay::FollowEvents(std::string_view data) {
  const uint64_t before = events_.events();
  events_.Feed(data);
  EventTimes& times = times_.events;
  times.followed = true;
  times.error = events_.error_seen();
  times.done = events_.done_seen();
  if (events_.events() != before) times.Came(events_.events() - before, ExchangeTimes::Now());
}

Task<absl::Status> AnswerRelay::Translate() {
  chat::JsonToSseOptions options;
  options.include_usage = keys_.include_usage();
  options.id = "chatcmpl-" + std::string(request_id_);
  options.model = keys_.model().value_or(service_.job_id);
  options.created = absl::ToUnixSeconds(absl::Now());
  chat::JsonToSse translator(std::move(options));
  std::string out;
  BodyPiece piece;
  while (!piece.last) {
    absl::Status status = co_await NextPiece(&piece);
    if (!status.ok()) co_return status;
    out.clear();
    absl::Status made = translator.Feed(piece.data, out);
    if (made.ok() && piece.last) made = translator.Finish(out);
    status = co_await Write(out, made.ok() && piece.last);
    if (!status.ok()) co_return status;
    if (!made.ok()) co_return made;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> AnswerRelay::NextPiece(BodyPiece* piece) {
  absl::Status status;
  if (is_event_stream_ && body_.may_have_notices()) status = co_await TellNotices();
  if (!status.ok()) co_return status;
  status = upstream_.TakeBody(piece);
  if (!status.ok() || !piece->data.empty() || piece->last) co_return status;
  status = co_await client_.Flush();
  if (!status.ok()) co_return status;
  heartbeat_.Sent();
  while (true) {
    const bool may_beat = is_event_stream_ && events_.at_boundary();
    status =
        co_await upstream_.ReadBody(piece, may_beat ? heartbeat_.due() : absl::InfiniteDuration());
    if (!status.ok() || !piece->data.empty() || piece->last) co_return status;
    status = co_await heartbeat_.Beat(service_, kKeepAlive, true);
    if (!status.ok()) co_return status;
  }
}

// A stream that began before the request's body had ended.
Task<absl::Status> AnswerRelay::TellNotices() {
  if (!events_.at_boundary()) co_return absl::OkStatus();
  const std::vector<std::string> notices = body_.TakeNotices();
  if (notices.empty()) co_return absl::OkStatus();
  co_return co_await heartbeat_.Tell(notices);
}

Task<absl::Status> AnswerRelay::Write(std::string_view data, bool last) {
  if (data.empty() && !last) co_return absl::OkStatus();
  absl::Status status = co_await client_.WriteAnswer(data, last);
  if (!status.ok()) co_return status;
  bytes_ += data.size();
  complete_ = last;
  co_return absl::OkStatus();
}

}  // namespace tao::gateway
