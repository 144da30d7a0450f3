#pragma once

// One TCP connection, or TLS over it, with a deadline on each read and write. All bytes of the
// gateway pass through this class.
//
// Worker thread only. At most one Read and one Write at a time, of different coroutines or the
// same; the connection outlives them.

#include <absl/time/time.h>

#include <array>
#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "gateway/transport/asio.h"
#include "gateway/transport/deadline_wheel.h"
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
  void Consume(size_t bytes);

 private:
  std::array<net::const_buffer, 4> pieces_;
  size_t first_ = 0;
  size_t count_ = 0;
};

class Connection {
 public:
  // Takes over a connected socket, and switches off Nagle's algorithm.
  Connection(TcpSocket socket, DeadlineWheel& wheel);
  // Over TLS: announces the end, unless something failed or Abort was called.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Makes it a connection over TLS, before anything is read or written. Handshake comes next; Abort
  // ends its waiting.
  void UseTls(std::unique_ptr<TlsChannel> tls);
  Task<IoResult> Handshake();

  // Reads what is there, at least one byte. `deadline` is a time of DeadlineWheel.
  Task<IoResult> Read(net::mutable_buffer room, absl::Duration deadline) {
    return tls_ == nullptr ? ReadPlain(room, deadline) : ReadTls(room, deadline);
  }
  // Moves the deadline of the Read that is waiting, if one is.
  void ExtendRead(absl::Duration deadline);

  // Writes everything; on an error, `bytes` says how much the kernel took. What the socket takes at
  // once is written before this returns to the caller, without a turn of the event loop.
  Task<IoResult> Write(Gather text, absl::Duration deadline) {
    return tls_ == nullptr ? WritePlain(text, deadline) : WriteTls(text, deadline);
  }
  // Sends `count` bytes of a file, from `offset` on, without taking them through this process. Not
  // over TLS.
  Task<IoResult> SendFile(int fd, uint64_t offset, size_t count, absl::Duration deadline);
  bool is_tls() const { return tls_ != nullptr; }
  bool is_writing() const { return writing_; }

  // The Read that waits, and every later one, ends with kStopped.
  void StopReading();
  void AllowReading() { reading_stopped_ = false; }
  void StopWriting();
  // Both, and the connection is closed towards the peer at once.
  void Abort();

  // Sends a FIN after what was written; reading goes on. Not over TLS.
  void ShutdownWrite();
  // Makes the close a reset: for an answer whose end the peer must not take for a whole one.
  void ResetOnClose();

  // Whether the connection, idle so far, can carry a request: the peer neither closed it nor sent
  // anything unasked.
  bool IsQuiet();

  int fd() { return socket_.native_handle(); }

 private:
  Task<IoResult> ReadPlain(net::mutable_buffer room, absl::Duration deadline);
  Task<IoResult> ReadTls(net::mutable_buffer room, absl::Duration deadline);
  Task<IoResult> WritePlain(Gather text, absl::Duration deadline);
  Task<IoResult> WriteTls(Gather text, absl::Duration deadline);
  IoResult ToResult(const boost::system::error_code& code, bool timed_out) const;

  TcpSocket socket_;
  std::unique_ptr<TlsChannel> tls_;  // null: plain
  net::cancellation_signal cancel_read_;
  net::cancellation_signal cancel_write_;
  bool reading_ = false;
  bool writing_ = false;
  bool read_timed_out_ = false;
  bool write_timed_out_ = false;
  bool reading_stopped_ = false;
  bool writing_stopped_ = false;
  Deadline read_deadline_;
  Deadline write_deadline_;
};

}  // namespace tao::transport
