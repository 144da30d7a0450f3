#pragma once

// The little JSON that the gateway writes itself.

#include <string>
#include <string_view>

namespace tao::chat {

// Appends `text` as a JSON string with its quotes. What is not UTF-8 becomes U+FFFD, so that the
// result always is; controls, quote and backslash are escaped, the rest stands as it is.
void AppendJsonString(std::string& out, std::string_view text);

// Appends `"name":"value"`, after a comma unless `out` ends with an opening bracket.
void AppendJsonMember(std::string& out, std::string_view name, std::string_view value);

}  // namespace tao::chat
