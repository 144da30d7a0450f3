#pragma once

// The character classes and small productions of RFC 9110 and RFC 9112 that the rest of this folder
// is written in. Pure functions over bytes; thread-safe.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tao::http {

bool IsTokenChar(char c);       // tchar, RFC 9110 section 5.6.2
bool IsFieldValueChar(char c);  // HTAB, SP, VCHAR, obs-text: what a field value may hold
bool IsTargetChar(char c);      // what a request target may hold; see head_parser.h
inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsOws(char c) { return c == ' ' || c == '\t'; }

bool IsToken(std::string_view text);        // at least one tchar and nothing else
size_t TokenLength(std::string_view text);  // how many tchars it begins with
bool IsFieldValue(std::string_view text);   // may be empty; holds no CR, LF, NUL or other control
bool IsTarget(std::string_view text);       // at least one target char and nothing else

int HexValue(char c);  // 0 to 15; -1 when `c` is no hexadecimal digit
inline char LowerChar(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// ASCII only: bytes outside A-Z and a-z compare as they are.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

// `text` without the spaces and tabs around it. No other byte counts as white space: a vertical tab
// or a no-break space that a lenient peer would also drop is how requests are smuggled.
std::string_view TrimOws(std::string_view text);

// 1*DIGIT, no sign, no leading zero, at most 2^63-1; nullopt for everything else.
std::optional<uint64_t> ParseDecimal(std::string_view text);

// Reads the comma-separated tokens of a field value (#token, RFC 9110 section 5.6.1.2; empty
// elements are skipped, as the RFC asks of a recipient).
//   TokenListReader list(value);
//   while (list.Next(&token)) ...
//   if (list.invalid()) ...
class TokenListReader {
 public:
  explicit TokenListReader(std::string_view value) : rest_(value) {}

  // False at the end of the list, and at the first element that is no token.
  bool Next(std::string_view* token);
  bool invalid() const { return invalid_; }
  // Whether an empty element was skipped so far. The framing accepts none.
  bool saw_empty_element() const { return saw_empty_element_; }

 private:
  std::string_view rest_;
  bool invalid_ = false;
  bool at_end_ = false;
  bool saw_empty_element_ = false;
};

// Whether a Content-Type value names `media_type` ("application/json"), whatever its case and
// parameters.
bool HasMediaType(std::string_view content_type, std::string_view media_type);

}  // namespace tao::http
