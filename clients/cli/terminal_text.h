#pragma once

// Text from elsewhere (services, containers) on a terminal, and what the terminal can show.

#include <string>
#include <string_view>

namespace tao::cli {

// `text` on one line, without control characters (C0, DEL, and C1 in UTF-8), each run of which
// becomes a space unless one stands before it: a container's message must not move the cursor.
std::string OneLine(std::string_view text);

// What fits `columns` of valid UTF-8, with "…" at the end if something was cut. Wide characters
// (Chinese, Japanese, Korean, emoji) take two columns, combining marks none.
std::string CutTo(std::string_view text, size_t columns);

// Whether file descriptor `fd` is a terminal that understands cursor movement (TERM is not "dumb").
bool IsTerminal(int fd);

// Width of the terminal behind `fd`; 80 where it does not say.
size_t TerminalColumns(int fd);

}  // namespace tao::cli
