#include "gateway/request_body.h"

#include <absl/strings/str_format.h>

#include "server/base/errors.h"

namespace tao::gateway {
namespace {

absl::Status TooLarge(uint64_t max_bytes) {
  return base::TokenError(
      base::ErrorToken::kBodyTooLarge,
      absl::StrFormat("the request body is larger than the %d bytes that this gateway takes "
                      "(--max-body-bytes); send media as a URL or a path in the container",
                      max_bytes));
}

}  // namespace

RequestBody::RequestBody(ExchangeClient& client, RequestRouting& routing, uint64_t max_bytes,
                         std::optional<uint64_t> length, ExchangeTimes& times)
    : client_(client), routing_(routing), max_bytes_(max_bytes), length_(length), times_(times) {}

absl::Status RequestBody::CheckLength() const {
  return length_.value_or(0) > max_bytes_ ? TooLarge(max_bytes_) : absl::OkStatus();
}

transport::Task<absl::Status> RequestBody::Next(transport::BodyPiece* piece) {
  absl::Status status = co_await client_.ReadBody(piece);
  if (!status.ok()) co_return status;
  if (piece->last) times_.sendable = ExchangeTimes::Now();
  bytes_ += piece->data.size();
  if (bytes_ > max_bytes_) co_return TooLarge(max_bytes_);
  status = routing_.Feed(piece->data);
  if (status.ok() && piece->last) status = routing_.Finish();
  done_ = piece->last;
  co_return status;
}

std::vector<std::string> RequestBody::TakeNotices() {
  if (!may_have_notices()) return {};
  notices_taken_ = true;
  return routing_.NoticeLines();
}

}  // namespace tao::gateway
