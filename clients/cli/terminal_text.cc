#include "clients/cli/terminal_text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace tao::cli {
namespace {

// Length of the control character at the start of `text`; 0 when there is none.
size_t ControlLength(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x20 || first == 0x7f) return 1;
  // U+0080 to U+009F: terminals take them for escape sequences.
  if (first == 0xc2 && text.size() > 1) {
    const auto second = static_cast<unsigned char>(text[1]);
    if (second >= 0x80 && second <= 0x9f) return 2;
  }
  return 0;
}

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

std::string OneLine(std::string_view text) {
  std::string line;
  bool gap = false;
  while (!text.empty()) {
    if (const size_t length = ControlLength(text); length > 0) {
      gap = true;
      text.remove_prefix(length);
      continue;
    }
    if (gap && !line.empty() && line.back() != ' ') line += ' ';
    gap = false;
    line += text[0];
    text.remove_prefix(1);
  }
  return line;
}

std::string CutTo(std::string_view text, size_t columns) {
  if (columns == 0) return "";
  size_t seen = 0;
  size_t before_last = 0;  // where the last code point that may stay begins
  for (size_t i = 0; i < text.size(); ++i) {
    if (IsContinuation(text[i])) continue;
    if (++seen == columns) before_last = i;
    if (seen > columns) return std::string(text.substr(0, before_last)) + "…";
  }
  return std::string(text);
}

bool IsTerminal(int fd) {
  const char* const term = std::getenv("TERM");
  return ::isatty(fd) == 1 && (term == nullptr || std::string_view(term) != "dumb");
}

size_t TerminalColumns(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace tao::cli
