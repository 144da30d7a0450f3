#pragma once

// JSON objects cut into members whose values stay the text they were written in, so that what other
// tools wrote is handed on as it is: numbers with all their digits, escapes, the order of members.
// Pure.

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace tao::registry {

struct RawMember {
  std::string name;       // decoded
  std::string name_text;  // as written, with its quotes
  std::string value;      // as written
};

// The members of the one object that `text` is, in order. Of members with the same name the last
// value stands, at the place of the first (what Python's json.load and its dict do).
// InvalidArgument when `text` is no valid JSON (RFC 8259), or no object.
absl::StatusOr<std::vector<RawMember>> SplitObject(std::string_view text);

// The object again, with indent 2 throughout, as Python's json.dump(indent=2) prints it; without a
// final line end.
std::string PrintObject(const std::vector<RawMember>& members);

// `text` as a JSON string. Bytes that are no UTF-8 become U+FFFD.
std::string QuotedJson(std::string_view text);
// A member with the given name and JSON text as value.
RawMember MakeMember(std::string_view name, std::string value);

}  // namespace tao::registry
