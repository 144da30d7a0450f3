#include "gateway/transport/connection.h"

#include <sys/sendfile.h>
#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

namespace tao::transport {
namespace {

using boost::system::error_code;
using Step = TlsChannel::Step;

// Whether the peer has to do something before `step` can be repeated.
bool Waits(Step step) { return step == Step::kWantsRead || step == Step::kWantsWrite; }

TcpSocket::wait_type WaitFor(Step step) {
  return step == Step::kWantsRead ? TcpSocket::wait_read : TcpSocket::wait_write;
}

// How a step that waits for nothing has ended.
IoResult ResultOf(Step step, const TlsChannel& tls) {
  if (step == Step::kDone) return {};
  if (step == Step::kEnd) return {IoError::kEof, 0, net::error::eof};
  return {IoError::kReset, 0, tls.error()};
}

}  // namespace

void Gather::Consume(size_t bytes) {
  while (first_ < count_ && bytes >= pieces_[first_].size()) {
    bytes -= pieces_[first_].size();
    pieces_[first_++] = net::const_buffer();
  }
  if (bytes > 0 && first_ < count_) pieces_[first_] += bytes;
}

Connection::Connection(TcpSocket socket, DeadlineWheel& wheel)
    : socket_(std::move(socket)),
      read_deadline_(wheel,
                     [this] {
                       read_timed_out_ = true;
                       cancel_read_.emit(net::cancellation_type::terminal);
                     }),
      write_deadline_(wheel, [this] {
        write_timed_out_ = true;
        cancel_write_.emit(net::cancellation_type::terminal);
      }) {
  error_code ignored;  // a socket that is already dead fails at the first read or write
  socket_.non_blocking(true, ignored);
  socket_.set_option(Tcp::no_delay(true), ignored);
}

Connection::~Connection() {
  if (tls_ != nullptr && socket_.is_open()) tls_->SayGoodbye();
}

Task<IoResult> Connection::ReadPlain(net::mutable_buffer room, absl::Duration deadline) {
  if (reading_stopped_) co_return IoResult{IoError::kStopped, 0, {}};
  read_timed_out_ = false;
  reading_ = true;
  read_deadline_.Arm(deadline);
  const auto [code, bytes] = co_await socket_.async_read_some(
      room, net::bind_cancellation_slot(cancel_read_.slot(), kAwait));
  read_deadline_.Disarm();
  reading_ = false;
  IoResult result = ToResult(code, read_timed_out_);
  result.bytes = bytes;
  co_return result;
}

void Connection::UseTls(std::unique_ptr<TlsChannel> tls) {
  tls_ = std::move(tls);
  tls_->Attach(fd());
}

Task<IoResult> Connection::Handshake() {
  Step step = tls_->Handshake();
  while (Waits(step)) {
    const auto [code] = co_await socket_.async_wait(WaitFor(step), kAwait);
    if (code || reading_stopped_) co_return IoResult{IoError::kStopped, 0, code};
    step = tls_->Handshake();
  }
  co_return ResultOf(step, *tls_);
}

Task<IoResult> Connection::ReadTls(net::mutable_buffer room, absl::Duration deadline) {
  if (reading_stopped_) co_return IoResult{IoError::kStopped, 0, {}};
  read_timed_out_ = false;
  reading_ = true;
  IoResult result;
  Step step = tls_->Read(room, &result.bytes);
  if (!Waits(step)) {
    // A backend that is never waited for must not keep the others waiting.
    co_await net::post(socket_.get_executor(), net::use_awaitable_t<Executor>());
  } else {
    read_deadline_.Arm(deadline);
    while (Waits(step)) {
      const auto [code] = co_await socket_.async_wait(
          WaitFor(step), net::bind_cancellation_slot(cancel_read_.slot(), kAwait));
      if (code) {
        result = ToResult(code, read_timed_out_);
        break;
      }
      step = tls_->Read(room, &result.bytes);
    }
    read_deadline_.Disarm();
  }
  reading_ = false;
  if (Waits(step) || step == Step::kDone) co_return result;
  co_return ResultOf(step, *tls_);
}

void Connection::ExtendRead(absl::Duration deadline) {
  if (reading_) read_deadline_.Arm(deadline);
}

Task<IoResult> Connection::WritePlain(Gather text, absl::Duration deadline) {
  IoResult result;
  writing_ = true;
  write_timed_out_ = false;
  while (!text.empty()) {
    if (writing_stopped_) {
      result.error = IoError::kStopped;
      break;
    }
    error_code code;
    const size_t bytes = socket_.write_some(text.pieces(), code);
    if (!code) {
      result.bytes += bytes;
      text.Consume(bytes);
      continue;
    }
    if (code == net::error::would_block) {
      write_deadline_.Arm(deadline);
      std::tie(code) = co_await socket_.async_wait(
          TcpSocket::wait_write, net::bind_cancellation_slot(cancel_write_.slot(), kAwait));
      write_deadline_.Disarm();
      if (!code) continue;
    }
    const size_t written = result.bytes;
    result = ToResult(code, write_timed_out_);
    result.bytes = written;
    break;
  }
  writing_ = false;
  co_return result;
}

Task<IoResult> Connection::SendFile(int fd, uint64_t offset, size_t count,
                                    absl::Duration deadline) {
  IoResult result;
  writing_ = true;
  write_timed_out_ = false;
  auto at = static_cast<off_t>(offset);
  while (result.bytes < count) {
    if (writing_stopped_) {
      result.error = IoError::kStopped;
      break;
    }
    const ssize_t sent = ::sendfile(socket_.native_handle(), fd, &at, count - result.bytes);
    if (sent > 0) {
      result.bytes += static_cast<size_t>(sent);
      continue;
    }
    error_code code(sent == 0 ? EIO : errno, boost::system::system_category());  // 0: truncated
    if (code == net::error::interrupted) continue;
    if (code == net::error::would_block) {
      write_deadline_.Arm(deadline);
      std::tie(code) = co_await socket_.async_wait(
          TcpSocket::wait_write, net::bind_cancellation_slot(cancel_write_.slot(), kAwait));
      write_deadline_.Disarm();
      if (!code) continue;
    }
    const size_t written = result.bytes;
    result = ToResult(code, write_timed_out_);
    result.bytes = written;
    break;
  }
  writing_ = false;
  co_return result;
}

Task<IoResult> Connection::WriteTls(Gather text, absl::Duration deadline) {
  IoResult result;
  writing_ = true;
  write_timed_out_ = false;
  size_t written = 0;
  while (!text.empty()) {
    if (writing_stopped_) {
      result.error = IoError::kStopped;
      break;
    }
    size_t bytes = 0;
    const Step step = tls_->Write(text, &bytes);
    if (step == Step::kDone) {
      written += bytes;
      text.Consume(bytes);
      continue;
    }
    if (!Waits(step)) {
      result = ResultOf(step, *tls_);
      break;
    }
    write_deadline_.Arm(deadline);
    const auto [code] = co_await socket_.async_wait(
        WaitFor(step), net::bind_cancellation_slot(cancel_write_.slot(), kAwait));
    write_deadline_.Disarm();
    if (code) {
      result = ToResult(code, write_timed_out_);
      break;
    }
  }
  result.bytes = written;
  writing_ = false;
  co_return result;
}

void Connection::StopReading() {
  reading_stopped_ = true;
  cancel_read_.emit(net::cancellation_type::terminal);
}

void Connection::StopWriting() {
  writing_stopped_ = true;
  cancel_write_.emit(net::cancellation_type::terminal);
}

void Connection::Abort() {
  reading_stopped_ = writing_stopped_ = true;
  if (tls_ != nullptr) tls_->Detach();
  error_code ignored;
  socket_.close(ignored);
}

void Connection::ShutdownWrite() {
  error_code ignored;  // the peer may be gone already
  socket_.shutdown(TcpSocket::shutdown_send, ignored);
}

void Connection::ResetOnClose() {
  // Not by set_option: Asio would take the option back in the socket's destructor.
  const linger at_once = {1, 0};
  ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

bool Connection::IsQuiet() {
  if (tls_ != nullptr) return socket_.is_open() && tls_->IsQuiet();
  char byte = 0;
  const ssize_t got = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

IoResult Connection::ToResult(const error_code& code, bool timed_out) const {
  if (!code) return {};
  if (code == net::error::eof) return {IoError::kEof, 0, code};
  if (code == net::error::operation_aborted || code == net::error::bad_descriptor) {
    return {timed_out ? IoError::kTimeout : IoError::kStopped, 0, code};
  }
  return {IoError::kReset, 0, code};
}

}  // namespace tao::transport
