#include "gateway/upstream/upstream_connection.h"

#include <absl/strings/str_format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "gateway/transport/signal.h"
#include "gateway/upstream/proxy_status.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::upstream {

namespace net = transport::net;
using base::ErrorToken;
using boost::system::error_code;
using transport::DeadlineWheel;
using transport::IoError;
using transport::IoResult;
using transport::Task;
using transport::Tcp;

namespace {

constexpr int kMaxInterimHeads = 16;

std::string OriginOf(const routing::Backend& backend) {
  return backend.scheme == "https" ? TlsOriginOf(backend) : "";
}

// What is left of `until`, for the first of `count` attempts.
absl::Duration ShareOf(absl::Duration until, size_t count) {
  return DeadlineWheel::After((until - DeadlineWheel::Now()) / static_cast<int64_t>(count));
}

}  // namespace

UpstreamConnection::UpstreamConnection(const UpstreamParts& parts, const routing::Service& service)
    : parts_(parts),
      job_id_(service.job_id),
      host_(service.backend.host),
      port_(service.backend.port),
      tls_origin_(OriginOf(service.backend)),
      tls_name_(tls_origin_.empty() ? "" : routing::TlsNameOf(service.backend)),
      timeouts_(parts.config.timeouts),
      connect_deadline_(parts.wheel, [this] {
        connect_timed_out_ = true;
        Break();
      }) {}

Task<absl::Status> UpstreamConnection::Connect() {
  const absl::Duration until = DeadlineWheel::After(timeouts_.connect);
  connect_deadline_.Arm(until);
  std::vector<Tcp::endpoint> endpoints;
  absl::Status found = co_await FindAddresses(&endpoints);
  connect_deadline_.Disarm();
  if (!found.ok()) co_return found;

  Failure failure;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    connect_deadline_.Arm(ShareOf(until, endpoints.size() - i));
    connect_timed_out_ = false;
    failure = co_await Try(endpoints[i]);
    if (failure.why.empty() || failure.final || aborted_) break;
  }
  connect_deadline_.Disarm();
  if (aborted_) co_return ConnectError("given up");
  if (failure.why.empty()) co_return absl::OkStatus();
  if (endpoints.size() > 1) {
    failure.why += absl::StrFormat(" (the last of %d addresses)", endpoints.size());
  }
  absl::Status error = ConnectError(failure.why);
  if (connect_timed_out_) co_return WithProxyStatus(std::move(error), "connection_timeout");
  // Only a certificate is refused for good.
  if (failure.final) co_return WithProxyStatus(std::move(error), "tls_certificate_error");
  co_return error;
}

Task<absl::Status> UpstreamConnection::FindAddresses(std::vector<Tcp::endpoint>* endpoints) {
  error_code error;
  const auto port = static_cast<uint16_t>(port_);
  const net::ip::address address = ParseAddress(host_, error);
  if (!error) {
    endpoints->emplace_back(address, port);
    co_return absl::OkStatus();
  }
  std::shared_ptr<const Resolution> found = parts_.names.Find(host_);
  if (found == nullptr) {
    lookup_.emplace(parts_.names, host_, parts_.io);
    co_await lookup_->done.Wait();
    found = lookup_->result;
    lookup_.reset();
  }
  if (aborted_) co_return ConnectError("given up");
  if (found == nullptr) {
    co_return WithProxyStatus(
        ConnectError(absl::StrFormat("its name was not looked up within %s",
                                     absl::FormatDuration(timeouts_.connect))),
        "dns_timeout");
  }
  if (found->addresses.empty()) {
    co_return WithProxyStatus(ConnectError("its name has no address: " + found->error),
                              "dns_error");
  }
  for (const net::ip::address& each : found->addresses) endpoints->emplace_back(each, port);
  co_return absl::OkStatus();
}

Task<UpstreamConnection::Failure> UpstreamConnection::Try(Tcp::endpoint endpoint) {
  Failure failure;
  const error_code error = co_await ConnectTo(endpoint);
  if (connect_timed_out_) {
    failure.why = absl::StrFormat("no answer within %s", absl::FormatDuration(timeouts_.connect));
  } else if (error) {
    failure.why = error.message();
  } else {
    if (!tls_origin_.empty()) failure = co_await StartTls();
  }
  if (!failure.why.empty()) connection_.reset();
  co_return failure;
}

Task<UpstreamConnection::Failure> UpstreamConnection::StartTls() {
  Failure failure;
  std::unique_ptr<transport::TlsChannel> tls = parts_.tls.NewChannel(tls_name_, tls_origin_);
  if (tls == nullptr) {
    failure.why = "no certificate can be for its name";
    failure.final = true;
    co_return failure;
  }
  const std::string& refusal = tls->refusal();  // the connection keeps the channel
  connection_->UseTls(std::move(tls));
  const IoResult result = co_await connection_->Handshake();
  if (result.ok()) co_return failure;
  failure.final = !refusal.empty();
  if (failure.final) {
    failure.why = refusal;
  } else if (connect_timed_out_) {
    failure.why =
        absl::StrFormat("no TLS handshake within %s", absl::FormatDuration(timeouts_.connect));
  } else {
    failure.why = "TLS handshake: " + result.code.message();
  }
  co_return failure;
}

Task<error_code> UpstreamConnection::ConnectTo(Tcp::endpoint endpoint) {
  // Helper programs of the daemon must not inherit the descriptor.
  const int fd =
      ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  transport::TcpSocket socket(fd);
  if (fd < 0 || (::connect(fd, endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0 &&
                 errno != EINPROGRESS)) {
    co_return error_code(errno, boost::system::system_category());
  }
  connection_.emplace(std::move(socket), parts_.wheel, /*connecting=*/true);
  const IoResult result = co_await connection_->AwaitConnected();
  co_return result.code;
}

Task<absl::Status> UpstreamConnection::Send(transport::Gather text, bool* accepted_nothing) {
  const IoResult result =
      co_await connection_->Write(text, DeadlineWheel::After(timeouts_.between_bytes));
  if (accepted_nothing != nullptr) *accepted_nothing = !result.ok() && result.bytes == 0;
  co_return AfterSend(result);
}

Task<absl::Status> UpstreamConnection::SendFile(int fd, uint64_t offset, size_t count) {
  const IoResult result = co_await connection_->SendFile(
      fd, offset, count, DeadlineWheel::After(timeouts_.between_bytes));
  co_return AfterSend(result);
}

absl::Status UpstreamConnection::AfterSend(const IoResult& result) {
  first_byte_deadline_ = DeadlineWheel::After(timeouts_.first_byte);
  if (!answered_) connection_->ExtendRead(std::min(first_byte_deadline_, head_pause_));
  if (result.ok()) return absl::OkStatus();
  return ReadError(result, "while the request was sent");
}

Task<absl::Status> UpstreamConnection::ReadHead(absl::Duration pause) {
  while (true) {
    http::ParseState state = parser_.Parse(input_.unread());
    while (state == http::ParseState::kNeedMore) {
      head_pause_ = pause;
      const absl::Duration deadline = std::min(pause, first_byte_deadline_);
      const IoResult result = co_await connection_->Read(input_, deadline);
      head_pause_ = absl::InfiniteDuration();
      const bool is_pause =
          result.error == IoError::kTimeout && DeadlineWheel::Now() < first_byte_deadline_;
      if (is_pause) co_return absl::OkStatus();
      if (!result.ok()) co_return ReadError(result, "before it answered");
      state = parser_.Parse(input_.unread());
    }
    if (state == http::ParseState::kError) co_return ProtocolError(parser_.error().reason);
    if (head().status == 101) co_return ProtocolError("it switched protocols, unasked");
    if (head().status >= 200) co_return BeginAnswer();
    if (++interim_heads_ > kMaxInterimHeads) {
      co_return ProtocolError("it sent one interim answer after the other");
    }
    input_.Consume(parser_.head_bytes());
    parser_.Reset();
  }
}

absl::Status UpstreamConnection::BeginAnswer() {
  http::BodyFraming framing;
  http::MessageError error = http::DecideResponseFraming(head(), http::Method::kPost, &framing);
  if (!error) error = http::SelectResponseFields(head(), &forwarding_);
  if (error) return ProtocolError(error.reason);
  input_.PinHead(parser_.head_bytes());
  body_ = http::BodyReader(framing);
  silence_deadline_ = absl::InfiniteDuration();
  interim_heads_ = 0;
  answered_ = true;
  return absl::OkStatus();
}

Task<absl::Status> UpstreamConnection::ReadBody(transport::BodyPiece* piece, absl::Duration pause) {
  absl::Status taken = TakeBody(piece);
  while (taken.ok() && piece->data.empty() && !piece->last) {
    if (silence_deadline_ == absl::InfiniteDuration()) {
      silence_deadline_ = DeadlineWheel::After(timeouts_.between_bytes);
    }
    const IoResult result = co_await connection_->Read(input_, std::min(pause, silence_deadline_));
    if (result.error == IoError::kEof && body_.OnEof()) {
      piece->last = true;
      co_return absl::OkStatus();
    }
    const bool is_pause =
        result.error == IoError::kTimeout && DeadlineWheel::Now() < silence_deadline_;
    if (is_pause) co_return absl::OkStatus();
    if (!result.ok()) co_return ReadError(result, "in the middle of its answer");
    silence_deadline_ = absl::InfiniteDuration();
    taken = TakeBody(piece);
  }
  co_return taken;
}

absl::Status UpstreamConnection::TakeBody(transport::BodyPiece* piece) {
  const http::BodyStep step = input_.TakeBody(body_);
  *piece = {step.data, step.state == http::BodyStep::State::kDone};
  if (step.state == http::BodyStep::State::kError) return ProtocolError(body_.error().reason);
  return absl::OkStatus();
}

bool UpstreamConnection::MayFinish() const {
  return answered_ && !aborted_ && body_.framing().kind != http::BodyFraming::Kind::kUntilClose &&
         http::KeepsConnection(head().version, forwarding_);
}

bool UpstreamConnection::Finish() {
  if (!MayFinish() || !body_.done() || !input_.unread().empty()) return false;
  input_.Unpin();
  input_.ReleaseWhenEmpty();
  parser_.Reset();
  body_ = http::BodyReader();
  answered_ = false;
  was_used_ = true;
  return true;
}

void UpstreamConnection::Abort() {
  aborted_ = true;
  Break();
}

void UpstreamConnection::Break() {
  if (connection_.has_value()) {
    connection_->Abort();
  } else if (lookup_.has_value()) {
    lookup_->done.Set();
  }
}

bool UpstreamConnection::Serves(const routing::Service& service) {
  const routing::Backend& backend = service.backend;
  return backend.host == host_ && backend.port == port_ && OriginOf(backend) == tls_origin_ &&
         connection_->IsQuiet();
}

absl::Status UpstreamConnection::ConnectError(std::string_view why) const {
  return base::TokenError(
      ErrorToken::kUpstreamConnect,
      absl::StrFormat("service %s: cannot connect to its container at %s:%d: %s. It may have just "
                      "ended or be restarting; look at its phase (GET /v1/models, or "
                      "`tao-inference list`) and try again",
                      job_id_, host_, port_, why));
}

absl::Status UpstreamConnection::ReadError(const IoResult& result, std::string_view awaited) const {
  if (result.error == IoError::kTimeout) {
    return base::TokenError(
        ErrorToken::kUpstreamTimeout,
        absl::StrFormat("service %s: its container at %s:%d said nothing for too long %s; see "
                        "`tao-inference logs %s`",
                        job_id_, host_, port_, awaited, job_id_));
  }
  const std::string why =
      result.error == IoError::kEof ? "closed the connection" : result.code.message();
  absl::Status lost = base::TokenError(
      ErrorToken::kUpstreamReset,
      absl::StrFormat("service %s: the connection to its container at %s:%d was lost %s (%s); see "
                      "`tao-inference logs %s`",
                      job_id_, host_, port_, awaited, why, job_id_));
  // RFC 9209 tells the loss of an answer that had begun from that of the whole one.
  const bool has_begun = answered_ || !input_.unread().empty();
  return has_begun ? WithProxyStatus(std::move(lost), "http_response_incomplete") : lost;
}

absl::Status UpstreamConnection::ProtocolError(std::string_view why) const {
  return WithProxyStatus(
      base::TokenError(
          ErrorToken::kUpstreamReset,
          absl::StrFormat("service %s: the answer of its container at %s:%d breaks HTTP/1.1: %s; "
                          "see `tao-inference logs %s`",
                          job_id_, host_, port_, why, job_id_)),
      "http_protocol_error");
}

}  // namespace tao::upstream
