#include "server/registry/host_url.h"

#include <absl/strings/str_format.h>
#include <arpa/inet.h>

#include <charconv>
#include <optional>

#include "server/base/strings.h"

namespace tao::registry {
namespace {

constexpr size_t kLongestUrl = 2048;
constexpr size_t kLongestHost = 253;  // RFC 1035 section 2.3.4

absl::Status BadUrl(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrFormat(
      "host_url %s: %s; expected http://HOST:PORT or https://HOST:PORT", base::Quoted(text), why));
}

bool IsVisibleAscii(std::string_view text) {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f) return false;
  }
  return true;
}

// A name or an IPv4 address: what DNS and Docker give, `_` included.
bool IsHostName(std::string_view host) {
  if (host.empty() || host.size() > kLongestHost) return false;
  for (const char c : host) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    if (!plain) return false;
  }
  return true;
}

bool IsIpv6(const std::string& host) {
  in6_addr address = {};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::optional<int> ParsePort(std::string_view text) {
  int port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || stop != end || port < 1 || port > 65535) return std::nullopt;
  return port;
}

}  // namespace

absl::StatusOr<HostUrl> ParseHostUrl(std::string_view text) {
  if (text.size() > kLongestUrl) return BadUrl(text, "it is longer than 2048 bytes");
  if (!IsVisibleAscii(text)) return BadUrl(text, "it has bytes that are no visible ASCII");
  const size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return BadUrl(text, "it has no scheme");
  HostUrl url;
  url.scheme = base::AsciiLower(text.substr(0, scheme_end));
  if (url.scheme != "http" && url.scheme != "https") return BadUrl(text, "its scheme is another");
  std::string_view rest = text.substr(scheme_end + 3);
  if (rest.find_first_of("?#") != std::string_view::npos) {
    return BadUrl(text, "it has a query or a fragment");
  }
  const std::string_view authority = rest.substr(0, rest.find('/'));
  std::string_view path = rest.substr(authority.size());
  while (path.ends_with('/')) path.remove_suffix(1);
  url.base_path = path;
  if (authority.find('@') != std::string_view::npos) {
    // Not quoted: it is a credential.
    return absl::InvalidArgumentError(
        "host_url holds a user name or a password; a URL of the registry file is shown to "
        "everybody");
  }

  std::string_view host = authority;
  std::string_view port;
  bool has_port = false;
  const bool bracketed = authority.starts_with('[');
  const size_t host_end = bracketed ? authority.find(']') : 0;
  if (host_end == std::string_view::npos) return BadUrl(text, "its host is not closed by ]");
  if (const size_t colon = authority.find(':', host_end); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
    has_port = true;
  }
  if (bracketed) {
    if (!host.ends_with(']')) return BadUrl(text, "its host is not valid");
    host = host.substr(1, host.size() - 2);
  }
  url.host = base::AsciiLower(host);
  if (bracketed ? !IsIpv6(url.host) : !IsHostName(url.host)) {
    return BadUrl(text, "its host is not valid");
  }
  url.port = url.scheme == "https" ? 443 : 80;
  if (has_port) {
    const std::optional<int> number = ParsePort(port);
    if (!number.has_value()) return BadUrl(text, "its port is no number from 1 to 65535");
    url.port = *number;
  }
  return url;
}

bool IsThisHost(std::string_view host) {
  return host == "localhost" || host == "::1" || host == "::" || host == "0.0.0.0" ||
         host.starts_with("127.");
}

}  // namespace tao::registry
