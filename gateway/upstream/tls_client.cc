#include "gateway/upstream/tls_client.h"

#include <absl/container/flat_hash_set.h>
#include <absl/strings/str_format.h>
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "server/base/clock.h"
#include "server/base/strings.h"

namespace tao::upstream {

using transport::TlsChannel;
using transport::UniqueSsl;

namespace {

constexpr unsigned char kAlpn[] = "\x08http/1.1";
constexpr size_t kReadAheadBytes = 64 * 1024;  // four records with one system call
constexpr size_t kMostNames = 5;

// The one out-of-memory answer of this project: the process ends.
void Require(bool done) {
  if (!done) std::abort();
}

std::string LastError() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* const reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "no reason known";
}

std::string TimeText(const ASN1_TIME* time) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return "an unknown time";
  return base::FormatUtc(absl::FromTimeT(::timegm(&parts)));
}

std::string AddressText(const ASN1_OCTET_STRING* bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  const int size = ASN1_STRING_length(bytes);
  if (size != 4 && size != 16) return "";
  ::inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(bytes), text, sizeof(text));
  return text;
}

// Whom a certificate is for, for people.
std::string NamesIn(const X509* certificate) {
  auto* const names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::vector<std::string> listed;
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names);
  for (int i = 0; i < count && listed.size() < kMostNames; ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) {
      const auto* const text =
          reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
      listed.push_back(base::Quoted(
          std::string_view(text, static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)))));
    } else if (name->type == GEN_IPADD) {
      listed.push_back(AddressText(name->d.iPAddress));
    }
  }
  GENERAL_NAMES_free(names);
  if (static_cast<size_t>(count) > kMostNames) listed.emplace_back("others");
  return listed.empty() ? "no name at all" : base::JoinedList(listed);
}

std::string Refusal(X509_STORE_CTX* chain, const TlsChannel& channel) {
  const int error = X509_STORE_CTX_get_error(chain);
  const X509* const certificate = X509_STORE_CTX_get_current_cert(chain);
  const bool is_own = X509_STORE_CTX_get_error_depth(chain) == 0;
  const std::string whose = is_own ? "its certificate" : "a CA's certificate behind its own";
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return absl::StrFormat("%s has expired (on %s)", whose,
                             TimeText(X509_get0_notAfter(certificate)));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return absl::StrFormat("%s is not valid yet (before %s); is this machine's clock right?",
                             whose, TimeText(X509_get0_notBefore(certificate)));
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: {
      const std::string& origin = channel.origin();
      return absl::StrFormat("its certificate is for %s, not for %s", NamesIn(certificate),
                             origin.substr(0, origin.find('|')));
    }
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return absl::StrFormat(
          "its certificate is of a CA that is not trusted here (%s); if it should be, give the "
          "CA's file with --upstream-ca-file (the system's are in the package ca-certificates)",
          X509_verify_cert_error_string(error));
    default:
      return absl::StrFormat("%s was refused: %s", whose, X509_verify_cert_error_string(error));
  }
}

int OnVerified(int accepted, X509_STORE_CTX* chain) {
  if (accepted == 1) return 1;
  auto* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const channel = static_cast<TlsChannel*>(SSL_get_app_data(ssl));
  channel->set_refusal(Refusal(chain, *channel));
  return 0;
}

bool IsAddress(const std::string& name) {
  in6_addr ignored = {};
  return ::inet_pton(AF_INET, name.c_str(), &ignored) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
}

}  // namespace

void TlsClient::FreeContext::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

void TlsClient::FreeSession::operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }

TlsClient::TlsClient() : context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX* const context = context_.get();
  Require(context != nullptr);
  Require(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, &OnVerified);
  Require(SSL_CTX_set_alpn_protos(context, kAlpn, sizeof(kAlpn) - 1) == 0);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, kReadAheadBytes);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_sess_set_new_cb(context, &OnNewSession);
}

absl::StatusOr<std::unique_ptr<TlsClient>> TlsClient::Create(const std::string& ca_file) {
  std::unique_ptr<TlsClient> client(new TlsClient());
  // A system without any CA trusts nobody, which the first handshake says.
  static_cast<void>(SSL_CTX_set_default_verify_paths(client->context_.get()));
  ERR_clear_error();
  if (!ca_file.empty() && SSL_CTX_load_verify_file(client->context_.get(), ca_file.c_str()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--upstream-ca-file %s: %s; it must be a readable file of certificates in "
                        "PEM form (-----BEGIN CERTIFICATE-----)",
                        base::Quoted(ca_file), LastError()));
  }
  return client;
}

std::unique_ptr<TlsChannel> TlsClient::NewChannel(std::string name, const std::string& origin) {
  UniqueSsl ssl(SSL_new(context_.get()));
  Require(ssl != nullptr);
  if (name.ends_with('.')) name.pop_back();  // RFC 6066, section 3
  if (IsAddress(name)) {
    Require(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), name.c_str()) == 1);
  } else {
    SSL_set_hostflags(ssl.get(),
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    const bool usable = SSL_set1_host(ssl.get(), name.c_str()) == 1 &&
                        SSL_set_tlsext_host_name(ssl.get(), name.c_str()) == 1;
    if (!usable) return nullptr;
  }
  if (const auto known = sessions_.find(origin); known != sessions_.end()) {
    // Without effect where the session has become too old.
    static_cast<void>(SSL_set_session(ssl.get(), known->second.get()));
  }
  return std::make_unique<TlsChannel>(std::move(ssl), origin);
}

// Called inside a step of the channel, once its certificate was accepted.
int TlsClient::OnNewSession(SSL* ssl, SSL_SESSION* session) {
  auto* const client = static_cast<TlsClient*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  const auto* const channel = static_cast<const TlsChannel*>(SSL_get_app_data(ssl));
  client->sessions_[channel->origin()].reset(session);
  return 1;  // the reference is ours now
}

void TlsClient::Retain(const routing::RouteTable& table) {
  if (sessions_.empty()) return;
  absl::flat_hash_set<std::string> origins;
  for (const routing::Service& service : table.services()) {
    if (service.backend.scheme == "https") origins.insert(TlsOriginOf(service.backend));
  }
  absl::erase_if(sessions_, [&origins](const auto& item) { return !origins.contains(item.first); });
}

std::string TlsOriginOf(const routing::Backend& backend) {
  return absl::StrFormat("%s|%s:%d", routing::TlsNameOf(backend), backend.host, backend.port);
}

}  // namespace tao::upstream
