#pragma once

// "Did you mean ...?" for names that people type.

#include <string>
#include <string_view>
#include <vector>

namespace tao::base {

// `name` as names are compared when `-` and `_`, and letter case, make no difference.
std::string FoldedName(std::string_view name);

// The one of `known` that `name` most likely means: the fewest edits away, letter case and the
// difference of `-` and `_` not counted, and at most a third of its length. Empty when none is
// close.
std::string ClosestName(std::string_view name, const std::vector<std::string>& known);

// `; did you mean "x"?`, or nothing when no name is close: the end of an error message.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& known);

}  // namespace tao::base
