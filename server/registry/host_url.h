#pragma once

// The URL under which a service is reached from this host (`host_url` of the registry file). Pure.

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace tao::registry {

struct HostUrl {
  std::string scheme;     // "http" or "https"
  std::string host;       // lower case, IPv6 without its brackets
  int port = 0;           // 80 or 443 when the URL names none
  std::string base_path;  // without a trailing slash; usually empty
  friend bool operator==(const HostUrl&, const HostUrl&) = default;
};

// Takes untrusted text: http(s)://host[:port][/path], visible ASCII, at most 2048 bytes. Refused
// with InvalidArgument: user names and passwords (they would show up in lists and logs), queries,
// fragments.
absl::StatusOr<HostUrl> ParseHostUrl(std::string_view text);

// Whether `host` of a HostUrl means this machine: localhost, 127.0.0.0/8, ::1, and the wildcards,
// which some tools write.
bool IsThisHost(std::string_view host);

}  // namespace tao::registry
