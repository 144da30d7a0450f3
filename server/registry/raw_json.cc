#include "server/registry/raw_json.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace tao::registry {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Walks over text that is known to be valid JSON.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  void SkipSpace() {
    position_ = std::min(text_.find_first_not_of(kSpace, position_), text_.size());
  }
  char Peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }
  void Skip() { ++position_; }
  bool AtEnd() const { return position_ >= text_.size(); }

  // A string with its quotes.
  std::string_view TakeString() {
    const size_t begin = position_++;
    while (text_[position_] != '"') position_ += text_[position_] == '\\' ? 2 : 1;
    ++position_;
    return text_.substr(begin, position_ - begin);
  }

  // A whole value. A loop, not a recursion: the nesting is the writer's choice.
  std::string_view TakeValue() {
    const size_t begin = position_;
    int depth = 0;
    do {
      SkipSpace();
      switch (Peek()) {
        case '{':
        case '[':
          ++depth;
          Skip();
          break;
        case '}':
        case ']':
          --depth;
          Skip();
          break;
        case '"':
          TakeString();
          break;
        case ',':
        case ':':
          Skip();
          break;
        default:
          TakeWord();
      }
    } while (depth > 0);
    return text_.substr(begin, position_ - begin);
  }

  // A number, true, false or null.
  std::string_view TakeWord() {
    const size_t begin = position_;
    position_ = std::min(text_.find_first_of(" \t\r\n,:]}", position_), text_.size());
    return text_.substr(begin, position_ - begin);
  }

 private:
  std::string_view text_;
  size_t position_ = 0;
};

void NewLine(std::string& out, int depth) {
  out += '\n';
  out.append(static_cast<size_t>(2 * depth), ' ');
}

// Appends valid JSON with its own spacing replaced by indent 2 from `depth` on.
void AppendIndented(std::string_view value, int depth, std::string& out) {
  Cursor cursor(value);
  for (cursor.SkipSpace(); !cursor.AtEnd(); cursor.SkipSpace()) {
    const char c = cursor.Peek();
    switch (c) {
      case '{':
      case '[': {
        out += c;
        cursor.Skip();
        cursor.SkipSpace();
        if (cursor.Peek() == (c == '{' ? '}' : ']')) {
          out += cursor.Peek();
          cursor.Skip();
        } else {
          NewLine(out, ++depth);
        }
        break;
      }
      case '}':
      case ']':
        NewLine(out, --depth);
        out += c;
        cursor.Skip();
        break;
      case ',':
        out += c;
        NewLine(out, depth);
        cursor.Skip();
        break;
      case ':':
        out += ": ";
        cursor.Skip();
        break;
      case '"':
        out += cursor.TakeString();
        break;
      default:
        out += cursor.TakeWord();
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<RawMember>> SplitObject(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (!Json::accept(text)) return absl::InvalidArgumentError("it is not valid JSON");
  Cursor cursor(text);
  cursor.SkipSpace();
  if (cursor.Peek() != '{') return absl::InvalidArgumentError("it is not a JSON object");
  cursor.Skip();
  std::vector<RawMember> members;
  std::map<std::string, size_t> index;  // name -> place in `members`
  for (cursor.SkipSpace(); cursor.Peek() != '}'; cursor.SkipSpace()) {
    RawMember member;
    member.name_text = cursor.TakeString();
    member.name =
        Json::parse(member.name_text, nullptr, /*allow_exceptions=*/false).get<std::string>();
    cursor.SkipSpace();
    cursor.Skip();  // :
    cursor.SkipSpace();
    member.value = cursor.TakeValue();
    const auto [same, is_new] = index.emplace(member.name, members.size());
    if (is_new) {
      members.push_back(std::move(member));
    } else {
      members[same->second].value = std::move(member.value);
    }
    cursor.SkipSpace();
    if (cursor.Peek() == ',') cursor.Skip();
  }
  return members;
}

std::string PrintObject(const std::vector<RawMember>& members) {
  std::string out = "{";
  for (const RawMember& member : members) {
    if (out.size() > 1) out += ',';
    NewLine(out, 1);
    out.append(member.name_text).append(": ");
    AppendIndented(member.value, 1, out);
  }
  if (!members.empty()) out += '\n';
  return out += '}';
}

std::string QuotedJson(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

RawMember MakeMember(std::string_view name, std::string value) {
  return {.name = std::string(name), .name_text = QuotedJson(name), .value = std::move(value)};
}

}  // namespace tao::registry
