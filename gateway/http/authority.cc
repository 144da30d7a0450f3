#include "gateway/http/authority.h"

#include "gateway/http/grammar.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace tao::http {
namespace {

bool IsHostName(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    const char lower = LowerChar(c);
    return IsDigit(c) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '.' || c == '_';
  });
}

bool IsIpv6Address(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size()) return false;
  std::copy(text.begin(), text.end(), terminated.begin());
  in6_addr address;
  // A NUL inside `text` would end it early for inet_pton; the parser lets none through, and we do
  // not rely on that.
  return text.find('\0') == std::string_view::npos &&
         ::inet_pton(AF_INET6, terminated.data(), &address) == 1;
}

}  // namespace

std::optional<Authority> ParseAuthority(std::string_view text) {
  Authority authority{.text = text};
  std::string_view after_host;
  if (!text.empty() && text.front() == '[') {
    const size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    authority.host = text.substr(0, bracket + 1);
    if (!IsIpv6Address(text.substr(1, bracket - 1))) return std::nullopt;
    after_host = text.substr(bracket + 1);
  } else {
    const size_t colon = std::min(text.find(':'), text.size());
    authority.host = text.substr(0, colon);
    if (!IsHostName(authority.host)) return std::nullopt;
    after_host = text.substr(colon);
  }
  if (after_host.empty()) return authority;
  if (after_host.front() != ':') return std::nullopt;
  const std::optional<uint64_t> port = ParseDecimal(after_host.substr(1));
  if (!port.has_value() || *port == 0 || *port > UINT16_MAX) return std::nullopt;
  authority.port = static_cast<uint16_t>(*port);
  return authority;
}

MessageError DecideAuthority(const RequestHead& head, Authority* authority) {
  *authority = {};
  const size_t hosts = head.fields.Count(FieldId::kHost);
  if (hosts > 1) return {400, "more than one Host"};
  if (hosts == 0 && head.version == Version::kHttp11) return {400, "no Host"};
  if (hosts == 1) {
    const std::optional<Authority> host = ParseAuthority(head.fields.ValueOf(FieldId::kHost));
    if (!host.has_value())
      return {400, "Host is not a host name or address, with or without a port"};
    *authority = *host;
  }
  if (head.form == TargetForm::kAbsolute) {
    const std::optional<Authority> named = ParseAuthority(head.authority);
    if (!named.has_value()) return {400, "the request target's host is not a name or an address"};
    *authority = *named;
  }
  return {};
}

}  // namespace tao::http
