#pragma once

// Bridges between std::string_view and absl::string_view (different types in Debian's Abseil, with
// no conversion either way), and the few text functions that error messages need.

#include <absl/strings/string_view.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tao::base {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

// `text` in double quotes for an error message or a log line: controls and bytes outside ASCII as
// \xNN, quotes and backslashes escaped, cut after `max_bytes` bytes of input with "..." and the
// length. Known secrets are redacted (secret.h).
std::string Quoted(std::string_view text, size_t max_bytes = 100);

// Whether `text` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool IsValidUtf8(std::string_view text);

// Lower-cases A to Z, and nothing else.
std::string AsciiLower(std::string_view text);

// "a, b and c"; "none" for an empty list.
std::string JoinedList(const std::vector<std::string>& items);

}  // namespace tao::base
