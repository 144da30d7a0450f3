#include "gateway/answer_relay.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <utility>

#include "gateway/chat/json_to_sse.h"
#include "gateway/chat/routing_keys.h"
#include "gateway/container_error.h"
#include "gateway/http/grammar.h"
#include "server/base/errors.h"

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
                         const routing::Service& service, const chat::RoutingKeys& keys,
                         std::string_view request_id, bool may_translate)
    : upstream_(upstream),
      client_(client),
      service_(service),
      keys_(keys),
      request_id_(request_id),
      may_translate_(may_translate) {}

Task<absl::Status> AnswerRelay::Run() {
  absl::Status status = co_await upstream_.ReadHead();
  if (!status.ok()) co_return status;
  status_ = upstream_.head().status;
  if (status_ == 202) co_return co_await RefuseAccepted();

  Answer answer = Plan();
  status = co_await AddAdvice(&answer);
  if (!status.ok()) co_return status;
  is_event_stream_ = answer.is_event_stream;
  begun_ = true;
  status = co_await client_.BeginAnswer(answer);
  if (!status.ok()) co_return status;
  if (answer.is_translated) co_return co_await Translate();
  co_return co_await Relay();
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
      events_.Feed(piece.data);
      // Clients leave at [DONE], so the end of the body goes out in the same write.
      if (events_.done_seen()) piece.last = true;
    }
    absl::Status status = co_await Write(piece.data, piece.last);
    if (!status.ok() || piece.last) co_return status;
    status = co_await NextPiece(&piece);
    if (!status.ok()) co_return status;
  }
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
  absl::Status status = upstream_.TakeBody(piece);
  if (!status.ok() || !piece->data.empty() || piece->last) co_return status;
  status = co_await client_.Flush();
  if (!status.ok()) co_return status;
  co_return co_await upstream_.ReadBody(piece);
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
