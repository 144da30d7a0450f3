#pragma once

// A proto3 string must be UTF-8, or the client cannot parse the message; containers write what they
// like. Pure.

#include <string>
#include <string_view>

namespace tao::api {

// `text` as it is when it is well-formed, else with each byte that is not ASCII replaced by "?".
std::string ToValidUtf8(std::string text);

// At most `max_bytes` of `text` (well-formed UTF-8), cut between characters and ended with "..."
// when something is left out.
std::string CutUtf8(std::string_view text, size_t max_bytes);

}  // namespace tao::api
