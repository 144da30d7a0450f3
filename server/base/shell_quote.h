#pragma once

// Words for a POSIX shell.

#include <string>
#include <string_view>

namespace tao::base {

// `word` so that a shell reads it as exactly this one word; byte for byte what Python's shlex.quote
// returns. `word` must not hold a NUL, which no argument can.
std::string ShellQuote(std::string_view word);

}  // namespace tao::base
