#include "gateway/chat/json_writer.h"

#include <absl/strings/str_format.h>

#include "gateway/chat/json_text.h"

namespace tao::chat {
namespace {

// Bytes of the well-formed UTF-8 character at the front of `text`; 0 if there is none.
size_t LeadingCharacter(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return 1;
  const size_t bytes = Utf8Bytes(lead);
  if (bytes > text.size()) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    if (!ContinuesUtf8(lead, i, static_cast<unsigned char>(text[i]))) return 0;
  }
  return bytes;
}

void AppendEscaped(std::string& out, char c) {
  switch (c) {
    case '"':
    case '\\':
      out += '\\';
      out += c;
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      out += absl::StrFormat("\\u%04x", static_cast<unsigned char>(c));
      break;
  }
}

}  // namespace

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const char c = text.front();
    size_t bytes = 1;
    if (c == '"' || c == '\\' || (c >= 0 && c < 0x20) || c == 0x7f) {
      AppendEscaped(out, c);
    } else if (bytes = LeadingCharacter(text); bytes > 0) {
      out += text.substr(0, bytes);
    } else {
      out += "\xef\xbf\xbd";
      bytes = 1;
    }
    text.remove_prefix(bytes);
  }
  out += '"';
}

void AppendJsonMember(std::string& out, std::string_view name, std::string_view value) {
  if (!out.empty() && out.back() != '{') out += ',';
  AppendJsonString(out, name);
  out += ':';
  AppendJsonString(out, value);
}

}  // namespace tao::chat
