#pragma once

// Why a message was refused. The parsers of this folder run on every request and allocate nothing,
// so an error is a status and a text that lives for ever, never bytes of the peer.

#include <string_view>

namespace tao::http {

// Tests true when there is an error:  if (MessageError error = Check(head)) return error;
struct MessageError {
  // What the client is told. In a request 400, 414, 431, 501 or 505; in a response always 502.
  // After any of them the connection is out of step: answer, close, and parse nothing more (RFC
  // 9112 section 2.2).
  int status = 0;
  std::string_view reason;  // for the error body and the log; a sentence without a full stop

  explicit operator bool() const { return status != 0; }
};

}  // namespace tao::http
