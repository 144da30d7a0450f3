#pragma once

// The TLS side of one connection: OpenSSL over a non-blocking socket that Connection owns. It never
// waits: each step says for what of the socket its caller has to wait before it is tried again.
//
// Worker thread only.

#include <openssl/types.h>

#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <string>

#include "gateway/transport/asio.h"

namespace tao::transport {

class Gather;

struct FreeSsl {
  void operator()(SSL* ssl) const;
};
using UniqueSsl = std::unique_ptr<SSL, FreeSsl>;

class TlsChannel {
 public:
  enum class Step {
    kDone,
    kWantsRead,   // again once the socket is readable
    kWantsWrite,  // ... writable
    kEnd,         // the peer said that it sends no more
    kFailed,      // see error(); of no more use
  };

  // `origin` names the backend for whoever keeps its sessions.
  TlsChannel(UniqueSsl ssl, std::string origin);
  TlsChannel(const TlsChannel&) = delete;
  TlsChannel& operator=(const TlsChannel&) = delete;

  // Works on `fd` from now on, until Detach.
  void Attach(int fd);
  // The socket is about to be closed, and its number may be another's soon.
  void Detach();

  Step Handshake();
  // Fills `room` with what is there, at least one byte. An end of the connection that the peer did
  // not announce is a failure (RFC 8446, section 6.1): somebody may have cut the answer short.
  Step Read(net::mutable_buffer room, size_t* bytes);
  // Sends the beginning of `text`, which is not empty: `bytes` of it are done. After kWants... it
  // is called again with the same text.
  Step Write(const Gather& text, size_t* bytes);

  // Whether the peer has neither closed the connection nor sent anything unasked. What it sends of
  // its own accord, tickets for new sessions, is dealt with.
  bool IsQuiet();
  // Announces our end of the connection, if all that was begun could be sent.
  void SayGoodbye();

  const boost::system::error_code& error() const { return error_; }
  const std::string& origin() const { return origin_; }
  SSL* ssl() const { return ssl_.get(); }

  // Why its certificate was refused, in words; empty if it was not.
  const std::string& refusal() const { return refusal_; }
  void set_refusal(std::string why) { refusal_ = std::move(why); }

 private:
  Step ToStep(int result);
  Step Fail(boost::system::error_code error);

  // One record. Smaller pieces of a text go out together.
  static constexpr size_t kRecordBytes = 16 * 1024;

  UniqueSsl ssl_;
  const std::string origin_;
  std::string refusal_;
  boost::system::error_code error_;
  std::unique_ptr<char[]> record_;  // from the first write of small pieces on
  size_t staged_ = 0;               // bytes of record_ that are being sent
  bool write_pending_ = false;      // the last Write has to be repeated
  bool established_ = false;
};

// Errors of OpenSSL as error codes.
const boost::system::error_category& TlsCategory();

}  // namespace tao::transport
