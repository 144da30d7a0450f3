#include "server/launch/python_json.h"

#include <absl/strings/str_format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>

namespace tao::launch {
namespace {

// Takes the first character off `text`.
char32_t TakeCodePoint(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  char32_t code_point = size == 1 ? first : first & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) {
    code_point = code_point << 6 | (static_cast<unsigned char>(text[i]) & 0x3fu);
  }
  text.remove_prefix(size);
  return code_point;
}

void AppendEscaped(char32_t code_point, std::string& out) {
  switch (code_point) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\b':
      out += "\\b";
      return;
    default:
      break;
  }
  if (code_point >= 0x20 && code_point < 0x7f) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x10000) {
    absl::StrAppendFormat(&out, "\\u%04x", static_cast<uint32_t>(code_point));
  } else {
    const auto above = static_cast<uint32_t>(code_point) - 0x10000;
    absl::StrAppendFormat(&out, "\\u%04x\\u%04x", 0xd800 + (above >> 10), 0xdc00 + (above & 0x3ff));
  }
}

}  // namespace

std::string PythonJsonString(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) AppendEscaped(TakeCodePoint(text), out);
  return out + "\"";
}

std::string PythonFloat(double value) {
  // Shortest digits, as d.ddde[+-]XX; then Python's rule for when to write the exponent
  // (float.__repr__).
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific);
  const std::string_view scientific(buffer.data(), static_cast<size_t>(end.ptr - buffer.data()));
  const size_t e = scientific.find('e');
  const int exponent = std::atoi(std::string(scientific.substr(e + 1)).c_str());
  if (exponent < -4 || exponent >= 16) return std::string(scientific);

  const bool negative = scientific[0] == '-';
  std::string digits;
  for (const char c : scientific.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  std::string text;
  if (exponent < 0) {
    text = "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  } else {
    const auto whole = static_cast<size_t>(exponent) + 1;
    if (digits.size() < whole) digits.resize(whole, '0');
    const std::string fraction = digits.substr(whole);
    text = digits.substr(0, whole) + "." + (fraction.empty() ? "0" : fraction);
  }
  return negative ? "-" + text : text;
}

void PythonJsonObject::AddRaw(std::string_view name, std::string_view json) {
  if (!members_.empty()) members_ += ',';
  members_ += PythonJsonString(name);
  members_ += ':';
  members_ += json;
}

void PythonJsonObject::Add(std::string_view name, std::string_view text) {
  AddRaw(name, PythonJsonString(text));
}

void PythonJsonObject::Add(std::string_view name, const PythonJsonObject& object) {
  AddRaw(name, object.Dump());
}

}  // namespace tao::launch
