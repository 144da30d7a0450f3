#include "gateway/local_reply.h"

#include "gateway/chat/openai_error.h"
#include "gateway/http/head_writer.h"
#include "gateway/http_error.h"
#include "gateway/upstream/proxy_status.h"
#include "gateway/upstream/request_head.h"

namespace tao::gateway {

using http::FieldId;

LocalReply ErrorReply(const absl::Status& error) {
  LocalReply reply;
  reply.status = HttpStatusOf(error);
  reply.body = chat::ErrorBody(error);
  reply.token = base::TokenOf(error);
  if (!reply.token.has_value()) {
    reply.should_retry = false;  // our own mistake: the same request would meet it again
    return reply;
  }
  const base::ErrorRule& rule = base::RuleOf(*reply.token);
  const absl::Duration retry_after = base::DetailsOf(error).retry_after;
  reply.retry_after_s = retry_after > absl::ZeroDuration()
                            ? static_cast<int>(absl::ToInt64Seconds(retry_after))
                            : rule.retry_after_s;
  reply.should_retry = rule.should_retry;
  // 501, 505, 508: OpenAI's clients send again what fails with a 5xx, and this would fail again.
  if (*reply.token == base::ErrorToken::kBadRequest && reply.status >= 500) {
    reply.should_retry = false;
  }
  reply.proxy_status = upstream::ProxyStatusOf(error);
  return reply;
}

LocalReply ReadinessReply(bool draining, bool has_table) {
  if (draining) return {.status = 503, .body = R"({"status":"draining"})"};
  if (!has_table) return {.status = 503, .body = R"({"status":"starting"})"};
  return {.body = R"({"status":"ready"})"};
}

std::string Render(const LocalReply& reply, const ReplyContext& context) {
  std::string out;
  http::HeadWriter head(out);
  head.StatusLine(reply.status);
  head.Field(FieldId::kDate, context.date);
  if (!reply.body.empty()) head.Field(FieldId::kContentType, reply.content_type);
  if (!context.request_id.empty()) head.Field(FieldId::kXRequestId, context.request_id);
  if (!context.job_id.empty()) {
    head.Field(FieldId::kXTaoJobId, context.job_id);
    head.Field(FieldId::kXTaoNetworkArch, context.network_arch);
  }
  if (!context.server_timing.empty()) head.Field("Server-Timing", context.server_timing);
  if (!reply.allow.empty()) head.Field(FieldId::kAllow, reply.allow);
  if (reply.token.has_value()) {
    const base::ErrorRule& rule = base::RuleOf(*reply.token);
    head.Field(FieldId::kXTaoError, rule.name);
    head.ProxyStatus(upstream::kPseudonym,
                     reply.proxy_status.empty() ? rule.proxy_status : reply.proxy_status);
  }
  if (reply.retry_after_s > 0) {
    head.Field(FieldId::kRetryAfter, static_cast<uint64_t>(reply.retry_after_s));
  }
  if (reply.should_retry.has_value()) {
    head.Field(FieldId::kXShouldRetry, *reply.should_retry ? "true" : "false");
  }
  // RFC 9110 section 8.6: a 204 has no Content-Length.
  if (reply.status != 204) head.ContentLength(reply.body.size());
  if (context.close) head.ConnectionClose();
  if (!head.End()) {
    // Only a job_id or arch of the registry file could hold what a head cannot.
    ReplyContext plain = context;
    plain.job_id = plain.network_arch = {};
    return Render(reply, plain);
  }
  if (!context.is_head) out += reply.body;
  return out;
}

}  // namespace tao::gateway
