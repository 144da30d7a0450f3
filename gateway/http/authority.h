#pragma once

// Which host a request is for (RFC 9112 section 3.2). Thread-safe.

#include "gateway/http/head.h"
#include "gateway/http/message_error.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace tao::http {

struct Authority {
  std::string_view text;  // host and port as sent, for the log; empty for HTTP/1.0 without Host
  std::string_view host;  // a name, an IPv4 address, or an IPv6 address in its brackets
  std::optional<uint16_t> port;
};

// A host name of letters, digits, "-", "." and "_", an IPv4 address, or an IPv6 address in
// brackets; optionally a port from 1 to 65535. No user information, no percent-encoding.
std::optional<Authority> ParseAuthority(std::string_view text);

// Checks Host: exactly one valid line (HTTP/1.0 may leave it out). An authority in the target wins
// over Host, which must be valid all the same. The backend is sent its own authority, never this
// one.
MessageError DecideAuthority(const RequestHead& head, Authority* authority);

}  // namespace tao::http
