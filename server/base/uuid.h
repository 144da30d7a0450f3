#pragma once

// Job ids: random UUIDs (RFC 9562, version 4) in lower case.

#include <string>
#include <string_view>

namespace tao::base {

// From the kernel's random source.
std::string NewUuid();

// Whether `text` is a lower-case version 4 UUID, which makes it safe as a path component, a container
// name, a header value and a shell word.
bool IsUuid(std::string_view text);

}  // namespace tao::base
