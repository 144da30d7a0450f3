#pragma once

// One TCP connection, or TLS over it, with a deadline on each read and write. All bytes of the
// gateway pass through this class.
//
// Worker thread only. At most one Read and one Write at a time, of different coroutines or the
// same; the connection outlives them.

#include <absl/functional/any_invocable.h>
#include <absl/time/time.h>

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "gateway/transport/asio.h"
#include "gateway/transport/deadline_wheel.h"
#include "gateway/transport/input_buffer.h"
#include "gateway/transport/tls_channel.h"

namespace tao::transport {

enum class IoError {
  kNone,
  kEof,      // the peer sent its FIN; over TLS: announced its end
  kReset,    // the connection is gone: reset, or a network error
  kTimeout,  // the deadline passed
  kStopped,  // StopReading, StopWriting or Abort
};

struct IoResult {
  IoError error = IoError::kNone;
  size_t bytes = 0;  // done, also when an error came after them
  boost::system::error_code code;

  bool ok() const { return error == IoError::kNone; }
};

// Up to four pieces of text that one write sends. They must stay valid until it is done.
class Gather {
 public:
  Gather() = default;
  explicit Gather(std::string_view text) { Add(text); }
  void Add(std::string_view text) {
    if (!text.empty()) pieces_[count_++] = net::const_buffer(text.data(), text.size());
  }
  const std::array<net::const_buffer, 4>& pieces() const { return pieces_; }
  bool empty() const { return first_ == count_; }
  // How many of the pieces are not sent, and where they begin.
  size_t left() const { return count_ - first_; }
  size_t first() const { return first_; }
  void Consume(size_t bytes);

 private:
  std::array<net::const_buffer, 4> pieces_;
  size_t first_ = 0;
  size_t count_ = 0;
};

class Connection : private EventLoop::Watcher {
 public:
  // What co_await waits for.
  class ReadOp;
  class WriteOp;
  class FileOp;

  // Takes over a connected socket, or, where `connecting`, one that is about to be, and switches
  // off Nagle's algorithm.
  Connection(TcpSocket socket, DeadlineWheel& wheel, bool connecting = false);
  // Over TLS: announces the end, unless something failed or Abort was called.
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Waits until the connection stands; the result has what became of it. Abort ends the waiting.
  Task<IoResult> AwaitConnected();
  // Makes it a connection over TLS, before anything is read or written. Handshake comes next; Abort
  // ends its waiting.
  void UseTls(std::unique_ptr<TlsChannel> tls);
  Task<IoResult> Handshake();

  // Reads what is there, at least one byte, into `input`, which holds no memory for it until then.
  // `deadline` is a time of DeadlineWheel.
  [[nodiscard]] ReadOp Read(InputBuffer& input, absl::Duration deadline);
  // Moves the deadline of the Read that is waiting, if one is.
  void ExtendRead(absl::Duration deadline);

  // Writes everything, by the end of the loop's turn if the socket takes it; on an error, `bytes`
  // says how much the kernel took.
  [[nodiscard]] WriteOp Write(const Gather& text, absl::Duration deadline);
  // Sends `count` bytes of a file, from `offset` on, without taking them through this process. Not
  // over TLS.
  [[nodiscard]] FileOp SendFile(int fd, uint64_t offset, size_t count, absl::Duration deadline);
  bool is_tls() const { return tls_ != nullptr; }

  // `on_hangup` is called from the event loop when the peer's FIN or reset arrives, whatever is
  // done here at that moment: behind unread bytes (a stalled upload, pipelined requests) no read
  // shows it.
  void OnHangup(absl::AnyInvocable<void()> on_hangup) { on_hangup_ = std::move(on_hangup); }

  // The Read that waits, and every later one, ends with kStopped.
  void StopReading();
  void AllowReading() { reading_stopped_ = false; }
  void StopWriting();
  // StopWriting, if a Write waits because the peer takes no more. One that had its turn still to
  // come has it first, and then nothing is stopped.
  void StopStuckWrite();
  // Both, and the connection is closed towards the peer at once.
  void Abort();

  // Sends a FIN after what was written; reading goes on. Not over TLS.
  void ShutdownWrite();
  // Makes the close a reset: for an answer whose end the peer must not take for a whole one.
  void ResetOnClose();

  // Whether the connection, idle so far, can carry a request: the peer neither closed it nor sent
  // anything unasked, as far as the event loop has heard.
  bool IsQuiet();

 private:
  // A read, or a write, and who waits for its end.
  struct Operation {
    Operation(DeadlineWheel& wheel, Connection& connection);
    std::coroutine_handle<> waiter;
    bool done = false;  // `result` has how it ended
    IoResult result;
    Deadline deadline;
  };

  bool BeginRead(InputBuffer* input);
  bool BeginWrite(const Gather& text);
  bool BeginSendFile(int fd, uint64_t offset, size_t count);
  void Await(Operation& operation, std::coroutine_handle<> waiter, absl::Duration deadline);
  void OnEvents(uint32_t events) override;
  void NoteEvents(uint32_t events);
  // Each true when the operation is over.
  bool TryRead();
  bool TryReadTls();
  bool TryWrite();
  bool TryWriteTls();
  bool TrySendFile();
  bool End(Operation& operation, IoError error, const boost::system::error_code& code = {});
  bool EndStopped(Operation& operation);
  bool EndWithErrno(Operation& operation, int error);
  // Ends an operation that waits, from the event loop.
  void Break(Operation& operation, IoError error);

  EventLoop& loop_;
  int fd_;
  std::unique_ptr<TlsChannel> tls_;  // null: plain
  absl::AnyInvocable<void()> on_hangup_;
  Operation reader_;
  Operation writer_;
  InputBuffer* input_ = nullptr;  // of the Read; null: it waits for the socket to be readable
  Gather text_;                   // of the Write; what is left of it
  int file_ = -1;                 // of the SendFile that is the write, the next byte of it, and
  uint64_t file_at_ = 0;          // how many are left
  size_t file_left_ = 0;
  uint64_t turn_ = 0;      // of the loop, in which
  int reads_in_turn_ = 0;  // this many reads found something at once
  bool readable_ = true;   // as far as we know
  bool writable_;
  bool peer_ended_ = false;  // its FIN or reset is behind what there is to read
  bool reading_stopped_ = false;
  bool writing_stopped_ = false;
};

// co_await gives the IoResult.
class Connection::ReadOp {
 public:
  ReadOp(Connection& connection, InputBuffer* input, absl::Duration deadline)
      : connection_(connection), input_(input), deadline_(deadline) {}
  bool await_ready() { return connection_.BeginRead(input_); }
  void await_suspend(std::coroutine_handle<> waiter) {
    connection_.Await(connection_.reader_, waiter, deadline_);
  }
  IoResult await_resume() { return connection_.reader_.result; }

 private:
  Connection& connection_;
  InputBuffer* const input_;
  const absl::Duration deadline_;
};

class Connection::WriteOp {
 public:
  WriteOp(Connection& connection, const Gather& text, absl::Duration deadline)
      : connection_(connection), text_(text), deadline_(deadline) {}
  bool await_ready() { return connection_.BeginWrite(text_); }
  void await_suspend(std::coroutine_handle<> waiter) {
    connection_.Await(connection_.writer_, waiter, deadline_);
  }
  IoResult await_resume() { return connection_.writer_.result; }

 private:
  Connection& connection_;
  const Gather& text_;
  const absl::Duration deadline_;
};

class Connection::FileOp {
 public:
  FileOp(Connection& connection, int fd, uint64_t offset, size_t count, absl::Duration deadline)
      : connection_(connection), fd_(fd), offset_(offset), count_(count), deadline_(deadline) {}
  bool await_ready() { return connection_.BeginSendFile(fd_, offset_, count_); }
  void await_suspend(std::coroutine_handle<> waiter) {
    connection_.Await(connection_.writer_, waiter, deadline_);
  }
  IoResult await_resume() { return connection_.writer_.result; }

 private:
  Connection& connection_;
  const int fd_;
  const uint64_t offset_;
  const size_t count_;
  const absl::Duration deadline_;
};

inline Connection::ReadOp Connection::Read(InputBuffer& input, absl::Duration deadline) {
  return ReadOp(*this, &input, deadline);
}
inline Connection::WriteOp Connection::Write(const Gather& text, absl::Duration deadline) {
  return WriteOp(*this, text, deadline);
}
inline Connection::FileOp Connection::SendFile(int fd, uint64_t offset, size_t count,
                                               absl::Duration deadline) {
  return FileOp(*this, fd, offset, count, deadline);
}

}  // namespace tao::transport
