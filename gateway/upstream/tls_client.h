#pragma once

// TLS towards one worker's backends: whom it trusts, and the sessions that spare full handshakes.
// TLS 1.2 at least; the certificate must be of a trusted CA and for the backend's name (RFC 9525:
// by subjectAltName alone). OpenSSL's shared state is one worker's, so its locks are never waited
// for.
//
// Worker thread only, but for Create.

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>
#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>

#include "gateway/transport/connection.h"
#include "gateway/transport/tls_channel.h"
#include "server/routing/route_table.h"

struct ssl_session_st;  // OpenSSL's SSL_SESSION, which <openssl/types.h> leaves out

namespace tao::upstream {

class TlsClient {
 public:
  // Trusts the system's CAs, and those in `ca_file` (PEM) if it is not empty. InvalidArgument: that
  // file cannot be used.
  static absl::StatusOr<std::unique_ptr<TlsClient>> Create(const std::string& ca_file);
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // For a connection to the backend `origin`, whose certificate must be for `name`, with the
  // session of one before it. Null when no certificate can be for it. Must not outlive this.
  std::unique_ptr<transport::TlsChannel> NewChannel(std::string name, const std::string& origin);

  // Forgets the sessions with backends that `table` does not have.
  void Retain(const routing::RouteTable& table);

 private:
  struct FreeContext {
    void operator()(SSL_CTX* context) const;
  };
  struct FreeSession {
    void operator()(ssl_session_st* session) const;
  };

  TlsClient();
  static int OnNewSession(SSL* ssl, ssl_session_st* session);

  // By origin; the newest of each.
  absl::flat_hash_map<std::string, std::unique_ptr<ssl_session_st, FreeSession>> sessions_;
  std::unique_ptr<SSL_CTX, FreeContext> context_;
};

// What tells one https backend from another: whose certificate, and where.
std::string TlsOriginOf(const routing::Backend& backend);

}  // namespace tao::upstream
