#include "gateway/chat/json_writer.h"

#include <absl/strings/str_format.h>

#include "server/base/strings.h"

namespace tao::chat {
namespace {

// Bytes of the well-formed UTF-8 character at the front of `text`; 0 if there is none.
size_t LeadingCharacter(std::string_view text) {
  for (size_t bytes = 1; bytes <= 4 && bytes <= text.size(); ++bytes) {
    if (base::IsValidUtf8(text.substr(0, bytes))) return bytes;
  }
  return 0;
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
