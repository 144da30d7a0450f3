#include "docker/reference-backend/handler.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "docker/reference-backend/health_reply.h"

namespace tao::reference_backend {
namespace {

constexpr std::string_view kChatPath = "/v1/chat/completions";

// What an ANSWER_STATUS answers.
JsonReply FixedAnswer(int status) {
  switch (status) {
    case 202:
      return ErrorReply(202, "model_loading", "Model is still loading");
    case 400:
      return ErrorReply(400, "invalid_request", "unsupported media type");
    case 503:
      return ErrorReply(503, "model_not_ready", "Model is not ready");
    default:
      break;
  }
  return ErrorReply(500, "internal_error", "CUDA error: an illegal memory access was encountered");
}

}  // namespace

void Crash(const Behaviour& behaviour, ExchangeLog& log, const std::string& why) {
  log.Write("crash", {}, {{"exit_code", behaviour.crash_exit_code}});
  std::fprintf(stderr,
               "Traceback (most recent call last):\n"
               "RuntimeError: CUDA error: an illegal memory access was encountered\n"
               "reference-backend: crashing with code %d, because %s\n",
               behaviour.crash_exit_code, why.c_str());
  std::fflush(nullptr);
  std::_Exit(behaviour.crash_exit_code);
}

Handler::Handler(const Behaviour& behaviour, const CommandLine& line, Activity& activity,
                 ExchangeLog& log)
    : behaviour_(behaviour), line_(line), activity_(activity), log_(log) {}

void Handler::Serve(Connection& connection, int64_t number, const std::string& peer) {
  for (int64_t count = 1;; ++count) {
    Exchange exchange(behaviour_, connection, log_, {number, count}, peer);
    std::optional<Milliseconds> idle_limit;
    if (behaviour_.keep_alive && count > 1) idle_limit = behaviour_.keep_alive_idle;
    const HeadOutcome outcome = connection.ReadHead(exchange.head, idle_limit);
    if (outcome == HeadOutcome::kClosed) return;
    if (outcome == HeadOutcome::kLeft) {
      log_.Write("client_left", {number, count}, {{"phase", "reading_head"}});
      return;
    }
    if (outcome != HeadOutcome::kComplete) {
      log_.Write("bad_request", {number, count}, {{"reason", "head"}});
      exchange.EndConnection();
      if (exchange.SendPage(outcome == HeadOutcome::kTooLarge ? 431 : 400))
        connection.EndAndDrain();
      return;
    }
    exchange.Note("request_head",
                  {{"method", exchange.head.method}, {"target", exchange.head.target}});
    RequestBody body(exchange.head, connection,
                     [&exchange](uint64_t bytes) { exchange.set_body_bytes(bytes); });
    const bool answered = Answer(exchange, body);
    if (answered && body.state() != RequestBody::State::kComplete) connection.EndAndDrain();
    if (!answered || !exchange.keep_alive()) return;
  }
}

bool Handler::Answer(Exchange& exchange, RequestBody& body) {
  const std::string_view path = exchange.head.Path();
  if (body.state() == RequestBody::State::kMalformed) {
    exchange.Note("bad_request", {{"reason", "framing"}});
    exchange.EndConnection();
    return exchange.SendPage(400);
  }
  if (path == kChatPath) {
    if (exchange.head.method == "POST") return AnswerChat(exchange, body);
    if (body.state() == RequestBody::State::kReading) exchange.EndConnection();
    return exchange.SendPage(405, "\r\nAllow: OPTIONS, POST");
  }
  return AnswerGet(exchange, body);
}

bool Handler::AnswerGet(Exchange& exchange, RequestBody& body) {
  if (body.state() == RequestBody::State::kReading) exchange.EndConnection();
  const std::string_view path = exchange.head.Path();
  const LifeState state = LifeAt(behaviour_, activity_.Elapsed());
  JsonReply reply;
  if (path == "/api/v1/health/liveness") {
    reply = LivenessReply(behaviour_, line_, activity_);
  } else if (path == "/api/v1/health/readiness") {
    reply = ReadinessReply(behaviour_, line_, state);
  } else if (path == "/api/v1/status") {
    reply = StatusReply(behaviour_, line_, state);
  } else {
    return exchange.SendPage(404);
  }
  if (exchange.head.method != "GET" && exchange.head.method != "HEAD") {
    return exchange.SendPage(405, "\r\nAllow: GET, HEAD, OPTIONS");
  }
  return exchange.SendJson(reply);
}

// The state is checked before a byte of the body is read, as in Flask, where the body is read on
// demand: such an answer comes while the client is still sending.
bool Handler::AnswerChat(Exchange& exchange, RequestBody& body) {
  const LifeState state = LifeAt(behaviour_, activity_.Elapsed());
  if (const auto refusal = ChatRefusal(behaviour_, line_, state)) {
    if (body.state() == RequestBody::State::kReading) exchange.EndConnection();
    return exchange.SendJson(*refusal);
  }
  const Activity::Request running(activity_);
  const auto request = ReadChatRequest(body, exchange.head.Find("content-type"));
  switch (body.state()) {
    case RequestBody::State::kComplete:
      break;
    case RequestBody::State::kReading:
    case RequestBody::State::kLeft:
      exchange.NoteLeft("reading_body");
      return false;
    case RequestBody::State::kMalformed:
      exchange.Note("bad_request", {{"reason", "chunked coding"}});
      exchange.EndConnection();
      return exchange.SendPage(400);
    case RequestBody::State::kTooLarge:
      exchange.EndConnection();
      return exchange.SendPage(413);
  }
  exchange.Note("request_complete", {{"body_bytes", static_cast<int64_t>(body.bytes())}});
  const int64_t number = activity_.CountChat();
  CrashIfAsked(number);
  if (const auto* invalid = std::get_if<InvalidRequest>(&request)) {
    return exchange.SendJson(ErrorReply(400, "invalid_request", invalid->message));
  }
  if (!exchange.Wait(behaviour_.reply_delay, "computing")) return false;
  if (behaviour_.answer_status) return exchange.SendJson(FixedAnswer(*behaviour_.answer_status));
  if (behaviour_.close_before_answer) {
    exchange.Note("reply_cut", {{"reply_bytes", 0}});
    return false;
  }
  return SendCompletion(exchange, std::get<ChatRequest>(request), number);
}

bool Handler::SendCompletion(Exchange& exchange, const ChatRequest& request, int64_t number) {
  const ReplyContent content = behaviour_.reply_bytes
                                   ? ReplyContent::VideoLike(*behaviour_.reply_bytes)
                                   : ReplyContent::Describing(request, exchange.body_bytes());
  // The id tells the tests which service answered: the content must not, so that the same question
  // gets the same text from two of them.
  const std::string service = line_.job_id.empty() ? std::to_string(::getpid()) : line_.job_id;
  const ReplyIdentity identity{"chatcmpl-" + service + "-" + std::to_string(number),
                               line_.model_path, std::time(nullptr)};
  if (behaviour_.sse && request.stream) {
    return SendSseCompletion(exchange, content, identity,
                             behaviour_.sse_usage || request.include_usage);
  }
  return SendJsonCompletion(exchange, content, identity);
}

bool Handler::SendJsonCompletion(Exchange& exchange, const ReplyContent& content,
                                 const ReplyIdentity& identity) {
  if (!exchange.Begin(200, "application/json", JsonReplyBytes(content, identity))) return false;
  return WriteJsonReply(
             content, identity,
             [&exchange](std::string_view piece) { return exchange.Write(piece); },
             [this, &exchange] { return AtHalf(exchange); }) &&
         exchange.End();
}

bool Handler::SendSseCompletion(Exchange& exchange, const ReplyContent& content,
                                const ReplyIdentity& identity, bool usage) {
  if (!exchange.Begin(200, "text/event-stream; charset=utf-8", std::nullopt) ||
      !exchange.Write(RoleEvent(identity))) {
    return false;
  }
  const auto events = static_cast<uint64_t>(behaviour_.sse_events);
  for (uint64_t i = 0; i < events; ++i) {
    if (!exchange.Wait(behaviour_.sse_interval, "replying")) return false;
    const std::string part =
        content.Part(content.size() * i / events, content.size() * (i + 1) / events);
    if (!exchange.Write(ContentEvent(identity, part))) return false;
    if (i == (events - 1) / 2 && !AtHalf(exchange)) return false;
  }
  if (!exchange.Write(FinishEvent(identity))) return false;
  if (usage && !exchange.Write(UsageEvent(identity, behaviour_.sse_events))) return false;
  return exchange.Write(kDoneEvent) && exchange.End();
}

bool Handler::AtHalf(Exchange& exchange) {
  if (!exchange.Wait(behaviour_.reply_pause, "replying")) return false;
  if (!behaviour_.close_mid_answer) return true;
  exchange.Note("reply_cut", {{"reply_bytes", static_cast<int64_t>(exchange.reply_bytes())}});
  return false;
}

void Handler::CrashIfAsked(int64_t chat_number) {
  if (behaviour_.crash_at_request != chat_number) return;
  Crash(behaviour_, log_, "REFERENCE_BACKEND_CRASH_AT_REQUEST is " + std::to_string(chat_number));
}

}  // namespace tao::reference_backend
