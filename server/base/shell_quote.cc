#include "server/base/shell_quote.h"

#include <algorithm>

namespace tao::base {
namespace {

// shlex's own list: what no shell gives a meaning to.
bool IsSafe(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_@%+=:,./-").find(c) != std::string_view::npos;
}

}  // namespace

std::string ShellQuote(std::string_view word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), IsSafe)) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    // A single quote cannot stand between single quotes: end them, quote it, begin again.
    if (c == '\'') {
      quoted += "'\"'\"'";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

}  // namespace tao::base
