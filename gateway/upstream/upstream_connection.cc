#include "gateway/upstream/upstream_connection.h"

#include <absl/strings/str_format.h>
#include <sys/socket.h>

#include <boost/asio/ip/basic_resolver.hpp>
#include <cerrno>
#include <utility>

#include "gateway/transport/signal.h"
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

std::string WithoutBrackets(const std::string& host) {
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  return bracketed ? host.substr(1, host.size() - 2) : host;
}

}  // namespace

// Shared with the resolver's handler: a lookup cannot be interrupted, and may end after we have
// given up on it.
struct UpstreamConnection::Lookup {
  explicit Lookup(net::io_context& io) : resolver(io), done(io.get_executor()) {}

  net::ip::basic_resolver<Tcp, transport::Executor> resolver;
  transport::Signal done;
  error_code error;
  std::vector<Tcp::endpoint> endpoints;
};

UpstreamConnection::UpstreamConnection(net::io_context& io, DeadlineWheel& wheel,
                                       const UpstreamConfig& config,
                                       const routing::Service& service)
    : io_(io),
      wheel_(wheel),
      config_(config),
      job_id_(service.job_id),
      host_(service.backend.host),
      port_(service.backend.port),
      connect_deadline_(wheel, [this] {
        connect_timed_out_ = true;
        if (lookup_ != nullptr) lookup_->done.Set();
        error_code ignored;
        if (socket_.has_value()) socket_->close(ignored);
      }) {}

Task<absl::Status> UpstreamConnection::Connect() {
  connect_deadline_.Arm(DeadlineWheel::After(config_.connect_timeout));
  std::vector<Tcp::endpoint> endpoints;
  absl::Status found = co_await FindAddresses(&endpoints);
  if (!found.ok()) co_return found;

  error_code error = net::error::host_not_found;
  for (const Tcp::endpoint& endpoint : endpoints) {
    error = co_await ConnectTo(endpoint);
    if (!error || connect_timed_out_ || aborted_) break;
  }
  connect_deadline_.Disarm();
  if (connect_timed_out_) {
    co_return ConnectError(
        absl::StrFormat("no answer within %s", absl::FormatDuration(config_.connect_timeout)));
  }
  if (aborted_) co_return ConnectError("given up");
  if (error) co_return ConnectError(error.message());
  connection_.emplace(*std::move(socket_), wheel_);
  socket_.reset();
  co_return absl::OkStatus();
}

Task<absl::Status> UpstreamConnection::FindAddresses(std::vector<Tcp::endpoint>* endpoints) {
  error_code error;
  const std::string name = WithoutBrackets(host_);
  const net::ip::address address = net::ip::make_address(name, error);
  const auto port = static_cast<uint16_t>(port_);
  if (!error) {
    endpoints->emplace_back(address, port);
    co_return absl::OkStatus();
  }
  lookup_ = std::make_shared<Lookup>(io_);
  lookup_->resolver.async_resolve(
      name, "", [lookup = lookup_, port](const error_code& failed, const auto& results) {
        lookup->error = failed;
        for (const auto& result : results) {
          lookup->endpoints.emplace_back(result.endpoint().address(), port);
        }
        lookup->done.Set();
      });
  co_await lookup_->done.Wait();
  const std::shared_ptr<Lookup> lookup = std::exchange(lookup_, nullptr);
  if (connect_timed_out_ || aborted_) co_return absl::OkStatus();  // Connect says so
  if (lookup->error) co_return ConnectError("its name has no address: " + lookup->error.message());
  *endpoints = std::move(lookup->endpoints);
  co_return absl::OkStatus();
}

Task<error_code> UpstreamConnection::ConnectTo(const Tcp::endpoint& endpoint) {
  // Not socket::open: helper programs of the daemon must not inherit the descriptor.
  const int fd =
      ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) co_return error_code(errno, boost::system::system_category());
  socket_.emplace(io_);
  error_code error;
  socket_->assign(endpoint.protocol(), fd, error);
  if (error) co_return error;
  std::tie(error) = co_await socket_->async_connect(endpoint, transport::kAwait);
  co_return error;
}

Task<absl::Status> UpstreamConnection::Send(transport::Gather text, bool* accepted_nothing) {
  const IoResult result =
      co_await connection_->Write(text, DeadlineWheel::After(config_.between_bytes_timeout));
  if (accepted_nothing != nullptr) *accepted_nothing = !result.ok() && result.bytes == 0;
  first_byte_deadline_ = DeadlineWheel::After(config_.first_byte_timeout);
  if (!answered_) connection_->ExtendRead(first_byte_deadline_);
  if (result.ok()) co_return absl::OkStatus();
  co_return ReadError(result, "while the request was sent");
}

Task<absl::Status> UpstreamConnection::ReadHead() {
  for (int heads = 0; heads <= kMaxInterimHeads; ++heads) {
    http::ParseState state = parser_.Parse(input_.unread());
    while (state == http::ParseState::kNeedMore) {
      absl::Status filled = co_await Fill(first_byte_deadline_, "before it answered");
      if (!filled.ok()) co_return filled;
      state = parser_.Parse(input_.unread());
    }
    if (state == http::ParseState::kError) co_return ProtocolError(parser_.error().reason);
    if (head().status == 101) co_return ProtocolError("it switched protocols, unasked");
    if (head().status >= 200) {
      http::BodyFraming framing;
      http::MessageError error = http::DecideResponseFraming(head(), http::Method::kPost, &framing);
      if (!error) error = http::SelectResponseFields(head(), &forwarding_);
      if (error) co_return ProtocolError(error.reason);
      input_.PinHead(parser_.head_bytes());
      body_ = http::BodyReader(framing);
      answered_ = true;
      co_return absl::OkStatus();
    }
    input_.Consume(parser_.head_bytes());
    parser_.Reset();
  }
  co_return ProtocolError("it sent one interim answer after the other");
}

Task<absl::Status> UpstreamConnection::ReadBody(transport::BodyPiece* piece) {
  absl::Status taken = TakeBody(piece);
  while (taken.ok() && piece->data.empty() && !piece->last) {
    const IoResult result = co_await connection_->Read(
        input_.Room(), DeadlineWheel::After(config_.between_bytes_timeout));
    if (result.error == IoError::kEof && body_.OnEof()) {
      piece->last = true;
      co_return absl::OkStatus();
    }
    if (!result.ok()) co_return ReadError(result, "in the middle of its answer");
    input_.Commit(result.bytes);
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
  input_.ShrinkWhenEmpty();
  parser_.Reset();
  body_ = http::BodyReader();
  answered_ = false;
  was_used_ = true;
  return true;
}

void UpstreamConnection::Abort() {
  aborted_ = true;
  error_code ignored;
  if (connection_.has_value()) {
    connection_->Abort();
  } else if (socket_.has_value()) {
    socket_->close(ignored);
  } else if (lookup_ != nullptr) {
    lookup_->done.Set();
  }
}

bool UpstreamConnection::Serves(const routing::Service& service) {
  return service.backend.host == host_ && service.backend.port == port_ && connection_->IsQuiet();
}

Task<absl::Status> UpstreamConnection::Fill(absl::Duration deadline, std::string_view awaited) {
  const IoResult result = co_await connection_->Read(input_.Room(), deadline);
  input_.Commit(result.bytes);
  if (!result.ok()) co_return ReadError(result, awaited);
  co_return absl::OkStatus();
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
  return base::TokenError(
      ErrorToken::kUpstreamReset,
      absl::StrFormat("service %s: the connection to its container at %s:%d was lost %s (%s); see "
                      "`tao-inference logs %s`",
                      job_id_, host_, port_, awaited, why, job_id_));
}

absl::Status UpstreamConnection::ProtocolError(std::string_view why) const {
  return base::TokenError(
      ErrorToken::kUpstreamReset,
      absl::StrFormat("service %s: the answer of its container at %s:%d breaks HTTP/1.1: %s; see "
                      "`tao-inference logs %s`",
                      job_id_, host_, port_, why, job_id_));
}

}  // namespace tao::upstream
