#include "server/catalog/names.h"

#include <algorithm>

namespace tao::catalog {
namespace {

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Whether `text` has 1 to `longest` characters, each a letter of the given kind, a digit, or one of
// `others`.
bool Consists(std::string_view text, size_t longest, bool lower, bool upper,
              std::string_view others) {
  if (text.empty() || text.size() > longest) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return IsDigit(c) || (lower && IsLower(c)) || (upper && IsUpper(c)) ||
           others.find(c) != std::string_view::npos;
  });
}

}  // namespace

bool IsArchName(std::string_view text) {
  return Consists(text, 64, true, false, "._-") && (IsLower(text[0]) || IsDigit(text[0]));
}

bool IsImageKey(std::string_view text) { return Consists(text, 64, false, true, "_"); }

bool IsEnvName(std::string_view text) {
  return Consists(text, 128, false, true, "_") && !IsDigit(text[0]);
}

bool IsOptionName(std::string_view text) { return Consists(text, 64, true, false, "_-"); }

bool IsFieldName(std::string_view text) {
  return Consists(text, 64, true, true, "_") && !IsDigit(text[0]);
}

bool IsExtension(std::string_view text) { return Consists(text, 16, true, false, ""); }

bool IsMediaType(std::string_view text) {
  return (text.starts_with("image/") || text.starts_with("video/")) &&
         Consists(text.substr(6), 64, true, false, ".+-");
}

bool IsFlag(std::string_view text) {
  return text.size() >= 2 && text[0] == '-' && Consists(text, 128, true, true, "._-");
}

bool IsProtocol(std::string_view text) {
  return text.ends_with("://") &&
         Consists(text.substr(0, text.size() - 3), 32, true, false, "+._-") && IsLower(text[0]);
}

bool IsImageReference(std::string_view text) {
  return Consists(text, 512, true, true, "._-/:@+") && text[0] != '-' && text[0] != '.' &&
         text[0] != '/';
}

}  // namespace tao::catalog
