#pragma once

// Which fields pass through the gateway, and what the Connection field asks (RFC 9110
// section 7.6.1). Thread-safe.

#include "gateway/http/head.h"
#include "gateway/http/message_error.h"

#include <string_view>

namespace tao::http {

struct Forwarding {
  // The lines to pass on, in their order and with their bytes. Left out are the fields of one hop,
  // those that Connection lists, and what the gateway writes for its own side in any case: Host,
  // Content-Length, Transfer-Encoding, and Expect.
  FieldMask kept;
  bool close = false;       // Connection: close
  bool keep_alive = false;  // Connection: keep-alive
};

// 400 when Connection is no list of tokens, lists more than 64 names, or lists one that must reach
// the other side: framing, routing, authorization or content fields.
MessageError SelectRequestFields(const RequestHead& head, Forwarding* forwarding);
// The same for a response, with 502.
MessageError SelectResponseFields(const ResponseHead& head, Forwarding* forwarding);

// Whether the sender keeps the connection open after this message (RFC 9112 section 9.3), as far as
// the head says; a body that ends with the connection says otherwise. HTTP/1.0 never does: we do
// not speak its keep-alive (section 9.3 and appendix C.2.2).
bool KeepsConnection(Version version, const Forwarding& forwarding);

// Whether `pseudonym` has already forwarded this message: sending it on would be a loop. A Via that
// does not follow the grammar names nobody.
bool ViaNames(const FieldList& fields, std::string_view pseudonym);

}  // namespace tao::http
