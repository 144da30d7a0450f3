#include "gateway/http_exchange_client.h"

#include <optional>

#include "gateway/chat/openai_error.h"
#include "gateway/http/chunked.h"
#include "gateway/http/head_writer.h"
#include "gateway/http_error.h"
#include "gateway/upstream/request_head.h"

namespace tao::gateway {

using http::FieldId;
using transport::Task;

namespace {

constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";

}  // namespace

HttpExchangeClient::HttpExchangeClient(Worker& worker, Downstream& downstream,
                                       std::string_view request_id, bool keep_open,
                                       const ExchangeTimes& times)
    : worker_(worker),
      downstream_(downstream),
      request_id_(request_id),
      keep_open_(keep_open),
      times_(times) {}

Task<absl::Status> HttpExchangeClient::ReadBody(transport::BodyPiece* piece) {
  return downstream_.ReadBody(piece);
}

Task<absl::Status> HttpExchangeClient::BeginStream(const routing::Service& service,
                                                   const std::vector<std::string>& notices) {
  http::HeadWriter head(head_);
  head.StatusLine(200);
  head.Field(FieldId::kDate, worker_.Date());
  NameService(head, service);
  for (const std::string& notice : notices) head.Field(FieldId::kXTaoNotice, notice);
  head.Field(FieldId::kContentType, kEventStream);
  head.Field("Cache-Control", "no-cache");
  head.Field("X-Accel-Buffering", "no");
  co_return EndHead(head, std::nullopt);
}

Task<absl::Status> HttpExchangeClient::BeginAnswer(const Answer& answer) {
  const http::FieldList& fields = answer.head->fields;
  http::FieldMask kept = answer.kept;
  kept.DropAll(fields, FieldId::kXRequestId);
  kept.DropAll(fields, FieldId::kXTaoJobId);
  kept.DropAll(fields, FieldId::kXTaoNetworkArch);
  kept.DropAll(fields, FieldId::kXTaoError);
  kept.DropAll(fields, FieldId::kXTaoNotice);
  if (answer.is_translated) kept.DropAll(fields, FieldId::kContentType);

  http::HeadWriter head(head_);
  head.StatusLine(answer.head->status);
  head.Fields(fields, kept);
  if (!fields.Has(FieldId::kDate)) head.Field(FieldId::kDate, worker_.Date());
  head.Via(answer.head->version, upstream::kPseudonym);
  NameService(head, *answer.service);
  for (const std::string& notice : answer.notices) head.Field(FieldId::kXTaoNotice, notice);
  if (answer.is_translated) head.Field(FieldId::kContentType, kEventStream);
  if (answer.is_event_stream) {
    if (fields.FindByName("Cache-Control") == nullptr) head.Field("Cache-Control", "no-cache");
    // nginx in front of us would collect the events otherwise.
    if (fields.FindByName("X-Accel-Buffering") == nullptr) head.Field("X-Accel-Buffering", "no");
  }
  if (answer.retry_after_s > 0) {
    head.Field(FieldId::kRetryAfter, static_cast<uint64_t>(answer.retry_after_s));
  }
  if (answer.should_retry.has_value()) {
    head.Field(FieldId::kXShouldRetry, *answer.should_retry ? "true" : "false");
  }
  const int status = answer.head->status;
  if (status == 204 || status == 304) {
    framing_ = Framing::kLength;  // no body, and so no field about it
    co_return FinishHead(head);
  }
  co_return EndHead(head, answer.length);
}

void HttpExchangeClient::NameService(http::HeadWriter& head,
                                     const routing::Service& service) const {
  head.Field(FieldId::kXRequestId, request_id_);
  head.Field(FieldId::kXTaoJobId, service.job_id);
  head.Field(FieldId::kXTaoNetworkArch, service.network_arch);
  // A line of our own beside the service's, if it has sent one: they are one list.
  head.Field("Server-Timing", ServerTiming(times_).text());
}

// Chooses how the end of the body will show.
absl::Status HttpExchangeClient::EndHead(http::HeadWriter& head, std::optional<uint64_t> length) {
  if (length.has_value()) {
    framing_ = Framing::kLength;
    head.ContentLength(*length);
  } else if (downstream_.head().version == http::Version::kHttp11) {
    framing_ = Framing::kChunked;
    head.Chunked();
  } else {
    framing_ = Framing::kClose;
    keep_open_ = false;
  }
  return FinishHead(head);
}

absl::Status HttpExchangeClient::FinishHead(http::HeadWriter& head) {
  // An answer that came before the whole request leaves the connection out of step.
  if (!downstream_.body_done() || !worker_.accepting()) keep_open_ = false;
  if (!keep_open_) head.ConnectionClose();
  if (head.End()) return absl::OkStatus();
  return absl::InternalError("the head of the answer holds bytes that HTTP cannot carry");
}

Task<absl::Status> HttpExchangeClient::WriteAnswer(std::string_view data, bool last) {
  transport::Gather text(head_);
  std::optional<http::ChunkHeader> chunk;
  if (framing_ == Framing::kChunked) {
    if (!data.empty()) {
      chunk.emplace(data.size());
      text.Add(chunk->text());
      text.Add(data);
      text.Add(last ? "\r\n0\r\n\r\n" : http::kChunkEnd);
    } else if (last) {
      text.Add(http::kLastChunk);
    }
  } else {
    text.Add(data);
  }
  const bool written = co_await downstream_.Write(text);
  head_.clear();
  if (!written) co_return ClientLeft();
  co_return absl::OkStatus();
}

Task<absl::Status> HttpExchangeClient::Flush() {
  if (head_.empty()) co_return absl::OkStatus();
  const transport::Gather text(head_);
  const bool written = co_await downstream_.Write(text);
  head_.clear();
  if (!written) co_return ClientLeft();
  co_return absl::OkStatus();
}

bool HttpExchangeClient::WithdrawAnswer() {
  if (head_.empty()) return false;
  head_.clear();
  return true;
}

Task<void> HttpExchangeClient::FailAnswer(const absl::Status& error, bool between_events) {
  keep_open_ = false;
  bool told = false;
  if (between_events && !IsClientLeft(error)) {
    // Then the connection ends without the last chunk: the event tells OpenAI's clients, the
    // missing end tells all others (facts measured with 7 versions of their SDKs; docs/gateway.md).
    const std::string event = chat::ErrorEvent(error);
    const absl::Status written = co_await WriteAnswer(event, false);
    told = written.ok();
  }
  // An HTTP/1.0 client takes the end of the connection for the end of the answer; a reset it does
  // not.
  if (framing_ == Framing::kClose && !told) downstream_.ResetOnClose();
}

}  // namespace tao::gateway
