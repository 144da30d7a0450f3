#include "gateway/transport/connection.h"

#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <cerrno>
#include <utility>

namespace tao::transport {
namespace {

using boost::system::error_code;

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

Task<IoResult> Connection::Read(net::mutable_buffer room, absl::Duration deadline) {
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

void Connection::ExtendRead(absl::Duration deadline) {
  if (reading_) read_deadline_.Arm(deadline);
}

Task<IoResult> Connection::Write(Gather text, absl::Duration deadline) {
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
