#pragma once

// Where a body ends (RFC 9112 section 6). The only place that reads Content-Length and
// Transfer-Encoding; whatever two implementations could read in two ways is refused. Thread-safe.

#include "gateway/http/head.h"
#include "gateway/http/message_error.h"

#include <cstdint>
#include <optional>

namespace tao::http {

struct BodyFraming {
  enum class Kind : uint8_t {
    kNone,        // no body: the message ends with its head
    kLength,      // exactly `length` bytes
    kChunked,     // the chunked coding
    kUntilClose,  // a response that ends with its connection
  };
  Kind kind = Kind::kNone;
  uint64_t length = 0;  // with kLength, where it may be 0
};

// Decides a request's framing from all its field lines: exactly one `chunked` in HTTP/1.1 without a
// Content-Length, or one valid Content-Length, or none. Everything else is 400, or 501 for a
// transfer coding we do not know. Fields that a CGI-like backend would read as framing or routing
// fields (Content_Length, X_TAO_Job_ID) are 400 too. The method does not matter: a body on GET is a
// body.
MessageError DecideRequestFraming(const RequestHead& head, BodyFraming* framing);

// Decides a response's framing, given the method of the request it answers. HEAD, 1xx, 204 and 304
// have no body whatever their fields say. Without Content-Length and Transfer-Encoding the body
// ends with the connection. Ambiguity is 502. `declared_length`, if wanted, is the Content-Length
// as far as there is one, for the answer to a HEAD.
MessageError DecideResponseFraming(const ResponseHead& head, Method request_method,
                                   BodyFraming* framing,
                                   std::optional<uint64_t>* declared_length = nullptr);

}  // namespace tao::http
