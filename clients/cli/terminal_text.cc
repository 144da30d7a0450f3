#include "clients/cli/terminal_text.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <utility>

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

// The code point at the start of valid UTF-8, and its length in bytes.
std::pair<char32_t, size_t> FirstCodePoint(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 1) return {first, 1};
  char32_t code_point = first & (0xff >> (length + 1));
  for (size_t i = 1; i < length && i < text.size(); ++i) {
    code_point = code_point << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
  }
  return {code_point, std::min(length, text.size())};
}

struct Range {
  char32_t first, last;
};

bool IsIn(char32_t code_point, std::initializer_list<Range> ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [code_point](const Range& range) {
    return range.first <= code_point && code_point <= range.last;
  });
}

// The blocks of Unicode's EastAsianWidth.txt (W and F) and of combining marks that people write;
// wcwidth() would need a locale.
size_t ColumnsOf(char32_t code_point) {
  if (IsIn(code_point, {{0x0300, 0x036f},
                        {0x1ab0, 0x1aff},
                        {0x1dc0, 0x1dff},
                        {0x200b, 0x200f},
                        {0x20d0, 0x20ff},
                        {0xfe00, 0xfe0f},
                        {0xfe20, 0xfe2f}})) {
    return 0;
  }
  const bool wide = IsIn(code_point, {{0x1100, 0x115f},
                                      {0x2e80, 0x303e},
                                      {0x3041, 0xa4cf},
                                      {0xa960, 0xa97f},
                                      {0xac00, 0xd7a3},
                                      {0xf900, 0xfaff},
                                      {0xfe30, 0xfe6f},
                                      {0xff00, 0xff60},
                                      {0xffe0, 0xffe6},
                                      {0x1f300, 0x1f64f},
                                      {0x1f680, 0x1f6ff},
                                      {0x1f900, 0x1faff},
                                      {0x20000, 0x3fffd}});
  return wide ? 2 : 1;
}

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
  size_t used = 0;
  size_t kept = 0;  // bytes that leave a column free
  for (size_t at = 0; at < text.size();) {
    const auto [code_point, length] = FirstCodePoint(text.substr(at));
    used += ColumnsOf(code_point);
    if (used > columns) return std::string(text.substr(0, kept)) + "…";
    at += length;
    if (used < columns) kept = at;
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
