#include "gateway/downstream.h"

#include <algorithm>
#include <utility>

#include "gateway/http_error.h"

namespace tao::gateway {

using transport::DeadlineWheel;
using transport::IoError;
using transport::IoResult;
using transport::Task;

namespace {

// A body that nobody wants is read up to this size, so that the connection can be kept.
constexpr uint64_t kMaxSkippedBytes = 64 * 1024;

// Bytes of a body for each second that its client was waited for beyond body_timeout: who sends a
// byte now and then would keep its place for ever. The least that any link has.
constexpr uint64_t kMinBodyRate = 240;

constexpr absl::Duration kLingerTotal = absl::Seconds(10);
constexpr absl::Duration kLingerSilence = absl::Seconds(2);

absl::Status NoFurtherRequest() { return absl::CancelledError("the connection has ended"); }

}  // namespace

Downstream::Downstream(transport::TcpSocket socket, DeadlineWheel& wheel,
                       const GatewayConfig& config)
    : config_(config), connection_(std::move(socket), wheel), parser_(config.head_limits) {}

Task<absl::Status> Downstream::ReadHead(absl::Duration idle_limit) {
  absl::Duration deadline = DeadlineWheel::After(idle_limit);
  idle_ = true;
  while (true) {
    const http::ParseState state = parser_.Parse(input_.unread());
    if (idle_ && parser_.started()) {
      idle_ = false;
      deadline = DeadlineWheel::After(config_.head_timeout);
    }
    if (state == http::ParseState::kError) co_return HttpError(parser_.error());
    if (state == http::ParseState::kComplete) co_return BeginBody();

    const IoResult result = co_await connection_.Read(input_, deadline);
    if (result.ok()) continue;
    if (result.error == IoError::kTimeout && !idle_) {
      co_return HttpError(408, "the request head did not arrive in time");
    }
    if (result.error == IoError::kEof && !idle_) {
      co_return HttpError(400, "the connection ended in the middle of a request head");
    }
    co_return NoFurtherRequest();
  }
}

absl::Status Downstream::BeginBody() {
  http::BodyFraming framing;
  if (const http::MessageError error = http::DecideRequestFraming(head(), &framing)) {
    return HttpError(error);
  }
  input_.PinHead(parser_.head_bytes());
  body_ = http::BodyReader(framing);
  owes_continue_ = false;
  body_waited_ = absl::ZeroDuration();
  return absl::OkStatus();
}

Task<absl::Status> Downstream::ReadBody(transport::BodyPiece* piece) {
  while (true) {
    const http::BodyStep step = input_.TakeBody(body_);
    if (step.state == http::BodyStep::State::kError) {
      in_step_ = false;
      co_return HttpError(body_.error());
    }
    piece->data = step.data;
    piece->last = step.state == http::BodyStep::State::kDone;
    if (!piece->data.empty() || piece->last) co_return absl::OkStatus();

    if (std::exchange(owes_continue_, false)) {
      const transport::Gather interim("HTTP/1.1 100 Continue\r\n\r\n");
      const bool written = co_await Write(interim);
      if (!written) co_return ClientLeft();
    }
    const absl::Duration begun = DeadlineWheel::Now();
    const IoResult result = co_await connection_.Read(input_, begun + BodyPatience());
    body_waited_ += DeadlineWheel::Now() - begun;
    in_step_ = in_step_ && result.ok();
    if (result.error == IoError::kTimeout) {
      co_return HttpError(408, "the request body did not arrive in time");
    }
    if (!result.ok()) co_return ClientLeft();
  }
}

// How long the next bytes of the body may take. The time in which nothing is read, because the
// backend is slow, is not the client's.
absl::Duration Downstream::BodyPatience() const {
  const absl::Duration earned = absl::Seconds(1) * (body_.body_bytes() / kMinBodyRate);
  return std::min(config_.body_timeout, config_.body_timeout + earned - body_waited_);
}

Task<absl::Status> Downstream::SkipBody() {
  const bool is_long =
      framing().kind == http::BodyFraming::Kind::kLength && framing().length > kMaxSkippedBytes;
  if (owes_continue_ || is_long || !in_step_) co_return absl::OkStatus();
  while (!body_.done() && body_.body_bytes() <= kMaxSkippedBytes) {
    transport::BodyPiece piece;
    absl::Status status = co_await ReadBody(&piece);
    if (!status.ok()) co_return status;
  }
  co_return absl::OkStatus();
}

void Downstream::EndRequest() {
  input_.Unpin();
  parser_.Reset();
}

Task<bool> Downstream::Write(transport::Gather text) {
  const IoResult result =
      co_await connection_.Write(text, DeadlineWheel::After(config_.write_timeout));
  co_return result.ok();
}

void Downstream::Interrupt() {
  in_step_ = false;
  connection_.StopReading();
  connection_.StopStuckWrite();
}

void Downstream::Abort() {
  closes_hard_ = true;
  connection_.StopReading();
  connection_.StopWriting();
}

void Downstream::ResetOnClose() {
  closes_hard_ = true;
  connection_.ResetOnClose();
}

Task<void> Downstream::Linger() {
  if (closes_hard_) co_return;
  connection_.ShutdownWrite();
  connection_.AllowReading();
  input_ = transport::InputBuffer();
  const absl::Duration end = DeadlineWheel::After(kLingerTotal);
  while (true) {
    const absl::Duration deadline = std::min(end, DeadlineWheel::After(kLingerSilence));
    const IoResult result = co_await connection_.Read(input_, deadline);
    if (!result.ok() || closes_hard_) co_return;
  }
}

}  // namespace tao::gateway
