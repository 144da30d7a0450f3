#include "gateway/transport/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <utility>

namespace tao::transport {
namespace {

using boost::system::error_code;
using Step = TlsChannel::Step;

// Whether the peer has to do something before `step` can be repeated.
bool Waits(Step step) { return step == Step::kWantsRead || step == Step::kWantsWrite; }

// A connection whose other side is never waited for must not keep the others waiting.
constexpr int kMaxReadsInTurn = 8;

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

Connection::Operation::Operation(DeadlineWheel& wheel, Connection& connection)
    : deadline(wheel, [this, &connection] { connection.Break(*this, IoError::kTimeout); }) {}

Connection::Connection(TcpSocket socket, DeadlineWheel& wheel, bool connecting)
    : loop_(wheel.loop()),
      fd_(socket.Release()),
      reader_(wheel, *this),
      writer_(wheel, *this),
      writable_(!connecting) {
  const int on = 1;
  // A socket that is already dead fails at the first read or write.
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (!loop_.Add(fd_, EPOLLIN | EPOLLOUT | EPOLLRDHUP, this)) {
    reading_stopped_ = writing_stopped_ = true;  // of no use: nothing would ever wake it
  }
}

Connection::~Connection() {
  loop_.Forget(this);
  if (fd_ < 0) return;
  if (tls_ != nullptr) tls_->SayGoodbye();
  loop_.Remove(fd_, this);
  ::close(fd_);
}

Task<IoResult> Connection::AwaitConnected() {
  const Gather nothing;
  if (!writable_) {
    // The first event tells: the socket is writable, or has failed.
    co_await WriteOp(*this, nothing, absl::InfiniteDuration());
  }
  IoResult result = writer_.result;
  int error = 0;
  socklen_t size = sizeof(error);
  if (result.ok() && ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0) {
    result = {IoError::kReset, 0, error_code(error, boost::system::system_category())};
  }
  co_return result;
}

void Connection::UseTls(std::unique_ptr<TlsChannel> tls) {
  tls_ = std::move(tls);
  tls_->Attach(fd_);
}

Task<IoResult> Connection::Handshake() {
  Step step = tls_->Handshake();
  while (Waits(step)) {
    // Whatever comes next, from either side, may be what it waits for.
    readable_ = false;
    const IoResult waited = co_await ReadOp(*this, nullptr, absl::InfiniteDuration());
    if (!waited.ok()) co_return waited;
    step = tls_->Handshake();
  }
  co_return ResultOf(step, *tls_);
}

void Connection::ExtendRead(absl::Duration deadline) {
  if (reader_.waiter) reader_.deadline.Arm(deadline);
}

// True: there is nothing to wait for.
bool Connection::BeginRead(InputBuffer* input) {
  input_ = input;
  reader_.done = false;
  reader_.result = {};
  if (reading_stopped_) return EndStopped(reader_);
  if (input == nullptr) return false;
  if (turn_ != loop_.turn()) {
    turn_ = loop_.turn();
    reads_in_turn_ = 0;
  }
  if (++reads_in_turn_ <= kMaxReadsInTurn) {
    if (!TryRead()) return false;
    if (!loop_.has_posted()) return true;
  }
  loop_.Again(this);
  return false;
}

bool Connection::BeginWrite(const Gather& text) {
  text_ = text;
  file_left_ = 0;
  writer_.done = false;
  writer_.result = {};
  if (writing_stopped_) return EndStopped(writer_);
  // The writes of a turn go out together at its end: the first one wakes the process on the other
  // side, which then is awake for the others. One by one, each would find it asleep again, and
  // waking it is dearer than all else in a small write.
  if (loop_.has_more()) {
    loop_.Again(this);
    return false;
  }
  return TryWrite();
}

bool Connection::BeginSendFile(int fd, uint64_t offset, size_t count) {
  writer_.done = false;
  writer_.result = {};
  file_ = fd;
  file_at_ = offset;
  file_left_ = count;
  if (writing_stopped_) return EndStopped(writer_);
  return TryWrite();
}

void Connection::Await(Operation& operation, std::coroutine_handle<> waiter,
                       absl::Duration deadline) {
  operation.waiter = waiter;
  operation.deadline.Arm(deadline);
  if (&operation == &reader_ && input_ != nullptr) input_->ReleaseWhenEmpty();
}

void Connection::NoteEvents(uint32_t events) {
  constexpr uint32_t kEnded = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  if ((events & (EPOLLIN | kEnded)) != 0) readable_ = true;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) writable_ = true;
  if ((events & kEnded) == 0) return;
  peer_ended_ = true;
  if (on_hangup_) loop_.Again(this);  // after what can be read now
}

void Connection::OnEvents(uint32_t events) {
  NoteEvents(events);
  if (events == 0 && peer_ended_ && on_hangup_) std::exchange(on_hangup_, nullptr)();
  std::coroutine_handle<> resumed;
  for (Operation* const operation : {&reader_, &writer_}) {
    if (!operation->waiter) continue;
    const bool over =
        operation->done || (operation == &reader_ ? TryRead() : fd_ >= 0 && TryWrite());
    if (!over) {
      if (operation == &reader_ && input_ != nullptr) input_->ReleaseWhenEmpty();
      continue;
    }
    if (events != 0 && loop_.has_posted()) {
      loop_.Again(this);
      continue;
    }
    operation->deadline.Disarm();
    // Whoever goes on may destroy the connection, so the other one has its own turn.
    if (resumed) loop_.Resume(resumed);
    resumed = std::exchange(operation->waiter, nullptr);
  }
  if (resumed) resumed.resume();
}

bool Connection::TryRead() {
  if (input_ == nullptr) return readable_ || writable_ ? End(reader_, IoError::kNone) : false;
  if (tls_ != nullptr) return TryReadTls();
  while (readable_) {
    const net::mutable_buffer room = input_->Room();
    const ssize_t got = ::recv(fd_, room.data(), room.size(), 0);
    if (got > 0) {
      reader_.result.bytes = static_cast<size_t>(got);
      input_->Commit(reader_.result.bytes);
      // A short read has taken all: more will show as an event (epoll(7)). Not the peer's end, of
      // which there was one already.
      if (reader_.result.bytes < room.size() && !peer_ended_) readable_ = false;
      return End(reader_, IoError::kNone);
    }
    if (got == 0) return End(reader_, IoError::kEof, net::error::eof);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return EndWithErrno(reader_, errno);
    readable_ = false;
  }
  return false;
}

bool Connection::TryReadTls() {
  const Step step = tls_->Read(input_->Room(), &reader_.result.bytes);
  if (Waits(step)) return false;
  input_->Commit(reader_.result.bytes);
  if (step == Step::kDone) return End(reader_, IoError::kNone);
  const IoResult result = ResultOf(step, *tls_);
  return End(reader_, result.error, result.code);
}

bool Connection::TryWrite() {
  if (tls_ != nullptr) return TryWriteTls();
  if (file_left_ > 0) return TrySendFile();
  while (!text_.empty()) {
    if (!writable_) return false;
    std::array<iovec, 4> pieces;
    for (size_t i = 0; i < text_.left(); ++i) {
      const net::const_buffer& piece = text_.pieces()[text_.first() + i];
      pieces[i] = {const_cast<void*>(piece.data()), piece.size()};
    }
    msghdr message = {};
    message.msg_iov = pieces.data();
    message.msg_iovlen = text_.left();
    const ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      writer_.result.bytes += static_cast<size_t>(sent);
      text_.Consume(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      writable_ = false;
    } else if (errno != EINTR) {
      return EndWithErrno(writer_, errno);
    }
  }
  if (!writable_) return false;  // a connection that is being made: it stands with the first event
  return End(writer_, IoError::kNone);
}

bool Connection::TryWriteTls() {
  while (!text_.empty()) {
    size_t bytes = 0;
    const Step step = tls_->Write(text_, &bytes);
    if (Waits(step)) return false;
    if (step != Step::kDone) {
      const IoResult result = ResultOf(step, *tls_);
      return End(writer_, result.error, result.code);
    }
    writer_.result.bytes += bytes;
    text_.Consume(bytes);
  }
  return End(writer_, IoError::kNone);
}

bool Connection::TrySendFile() {
  while (file_left_ > 0) {
    if (!writable_) return false;
    auto at = static_cast<off_t>(file_at_);
    const ssize_t sent = ::sendfile(fd_, file_, &at, file_left_);
    if (sent > 0) {
      writer_.result.bytes += static_cast<size_t>(sent);
      file_at_ += static_cast<uint64_t>(sent);
      file_left_ -= static_cast<size_t>(sent);
    } else if (sent < 0 && errno == EAGAIN) {
      writable_ = false;
    } else if (sent == 0 || errno != EINTR) {
      file_left_ = 0;
      return EndWithErrno(writer_, sent == 0 ? EIO : errno);  // 0: somebody has truncated it
    }
  }
  return End(writer_, IoError::kNone);
}

bool Connection::End(Operation& operation, IoError error, const error_code& code) {
  operation.result.error = error;
  operation.result.code = code;
  operation.done = true;
  return true;
}

bool Connection::EndStopped(Operation& operation) {
  return End(operation, IoError::kStopped, net::error::operation_aborted);
}

bool Connection::EndWithErrno(Operation& operation, int error) {
  return End(operation, IoError::kReset, error_code(error, boost::system::system_category()));
}

void Connection::Break(Operation& operation, IoError error) {
  if (!operation.waiter || operation.done) return;
  End(operation, error, net::error::operation_aborted);
  loop_.Again(this);
}

void Connection::StopReading() {
  reading_stopped_ = true;
  Break(reader_, IoError::kStopped);
}

void Connection::StopWriting() {
  writing_stopped_ = true;
  Break(writer_, IoError::kStopped);
}

void Connection::StopStuckWrite() {
  if (!writer_.waiter || writer_.done) return;
  if (TryWrite()) return loop_.Again(this);
  StopWriting();
}

void Connection::Abort() {
  if (fd_ >= 0) {
    if (tls_ != nullptr) tls_->Detach();
    loop_.Remove(fd_, this);
    ::close(std::exchange(fd_, -1));
  }
  StopReading();
  StopWriting();
}

void Connection::ShutdownWrite() {
  ::shutdown(fd_, SHUT_WR);  // the peer may be gone already
}

void Connection::ResetOnClose() {
  const linger at_once = {1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

bool Connection::IsQuiet() {
  if (fd_ < 0 || peer_ended_) return false;
  if (tls_ != nullptr) return tls_->IsQuiet();
  if (!readable_) return true;
  char byte = 0;
  if (::recv(fd_, &byte, 1, MSG_PEEK) >= 0 || errno != EAGAIN) return false;
  readable_ = false;
  return true;
}

}  // namespace tao::transport
