#include "gateway/http/route_target.h"

#include "gateway/http/grammar.h"

#include <algorithm>

namespace tao::http {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool IsUnreserved(char c) {  // RFC 3986 section 2.3
  const char lower = LowerChar(c);
  return IsDigit(c) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

// The byte that the escape at `at` ("%41") stands for. False when it is none.
bool ReadEscape(std::string_view text, size_t at, char* byte) {
  if (text.size() - at < 3) return false;
  const int high = HexValue(text[at + 1]), low = HexValue(text[at + 2]);
  if (high < 0 || low < 0) return false;
  *byte = static_cast<char>(high << 4 | low);
  return true;
}

bool EscapesAreWhole(std::string_view text) {
  char byte;
  for (size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 3)) {
    if (!ReadEscape(text, at, &byte)) return false;
  }
  return true;
}

// Appends the normal form of `path` to `scratch` and returns it; `path` itself when it is normal.
MessageError Normalize(std::string_view path, std::string* scratch, std::string_view* normal) {
  if (path.find('%') == std::string_view::npos) {
    *normal = path;
    return {};
  }
  constexpr char kHex[] = "0123456789ABCDEF";
  const size_t begin = scratch->size();
  for (size_t at = 0; at < path.size(); ++at) {
    char byte = path[at];
    if (byte == '%') {
      if (!ReadEscape(path, at, &byte)) return {400, "a broken percent-escape in the path"};
      if (IsControl(byte)) return {400, "an encoded control character in the path"};
      at += 2;
      if (!IsUnreserved(byte)) {
        const unsigned char bits = static_cast<unsigned char>(byte);
        scratch->append({'%', kHex[bits >> 4], kHex[bits & 15]});
        continue;
      }
    }
    scratch->push_back(byte);
  }
  *normal = std::string_view(*scratch).substr(begin);
  return {};
}

// A "." or ".." between separators, of a normal path. An encoded slash or backslash and ";" count
// as separators too, because some servers take them so.
bool HasDotSegment(std::string_view normal) {
  const auto next_end = [&normal](size_t from) {
    size_t end = from;
    while (end < normal.size() && normal[end] != '/' && normal[end] != ';' &&
           normal.substr(end, 3) != "%2F" && normal.substr(end, 3) != "%5C") {
      ++end;
    }
    return end;
  };
  for (size_t from = 0; from < normal.size();) {
    const size_t end = next_end(from);
    const std::string_view segment = normal.substr(from, end - from);
    if (segment == "." || segment == "..") return true;
    from = end + (end < normal.size() && normal[end] == '%' ? 3 : 1);
  }
  return false;
}

// "/services/x/v1/models" -> 2nd and 3rd slash; npos where there is none.
size_t NthSlash(std::string_view path, int n) {
  size_t at = path.find('/');
  while (--n > 0 && at != std::string_view::npos) at = path.find('/', at + 1);
  return at;
}

// A selector's text. A view into `text` when there is nothing to decode, else into `scratch`.
MessageError DecodeSelector(std::string_view text, std::string* scratch,
                            std::optional<std::string_view>* selector) {
  if (text.find('%') == std::string_view::npos) {
    *selector = text;
  } else {
    const size_t begin = scratch->size();
    if (!PercentDecode(text, scratch)) {
      return {400, "an encoded control character in a job_id or network_arch"};
    }
    *selector = std::string_view(*scratch).substr(begin);
  }
  if ((*selector)->empty()) return {400, "an empty job_id or network_arch"};
  return {};
}

// Splits the routing prefix off target->path and target->normal_path.
MessageError TakePrefix(std::string* scratch, RouteTarget* target) {
  const size_t id_begin = NthSlash(target->normal_path, 2);
  if (id_begin == std::string_view::npos) return {};
  const std::string_view prefix = target->normal_path.substr(0, id_begin);
  std::optional<std::string_view>* selector = nullptr;
  if (prefix == "/services") selector = &target->path_job_id;
  if (prefix == "/archs") selector = &target->path_network_arch;
  if (selector == nullptr) return {};
  // The normal form neither adds nor removes a slash, so the third ends the prefix in both.
  const size_t normal_end = std::min(NthSlash(target->normal_path, 3), target->normal_path.size());
  const size_t raw_end = std::min(NthSlash(target->path, 3), target->path.size());
  const std::string_view id = target->normal_path.substr(id_begin + 1, normal_end - id_begin - 1);
  if (MessageError error = DecodeSelector(id, scratch, selector)) return error;
  target->path.remove_prefix(raw_end);
  target->normal_path.remove_prefix(normal_end);
  if (target->path.empty()) target->path = target->normal_path = "/";
  return {};
}

// One name or value of a query: "+" is a space (as URLSearchParams and Python write it).
std::string_view DecodePlus(std::string_view text, std::string* scratch) {
  if (text.find('+') == std::string_view::npos) return text;
  const size_t begin = scratch->size();
  scratch->append(text);
  std::replace(scratch->begin() + static_cast<ptrdiff_t>(begin), scratch->end(), '+', ' ');
  return std::string_view(*scratch).substr(begin);
}

MessageError ReadQuery(std::string_view query, std::string* scratch, RouteTarget* target) {
  if (!EscapesAreWhole(query)) return {400, "a broken percent-escape in the query"};
  while (!query.empty()) {
    const std::string_view parameter = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(parameter.size() + 1, query.size()));
    const size_t equals = parameter.find('=');
    const std::string_view raw_name = parameter.substr(0, equals);
    const std::string_view raw_value =
        equals == std::string_view::npos ? std::string_view() : parameter.substr(equals + 1);

    const size_t before = scratch->size();
    std::string_view name = raw_name;
    if (raw_name.find('%') != std::string_view::npos) {
      if (!PercentDecode(raw_name, scratch)) continue;  // no name of ours holds a control character
      name = std::string_view(*scratch).substr(before);
    }
    std::optional<std::string_view>* selector = nullptr;
    if (name == "job_id") selector = &target->query_job_id;
    if (name == "network_arch") selector = &target->query_network_arch;
    scratch->resize(before);
    if (selector == nullptr) continue;
    if (selector->has_value()) return {400, "job_id or network_arch is in the query twice"};
    const MessageError error = DecodeSelector(DecodePlus(raw_value, scratch), scratch, selector);
    if (error) return error;
  }
  return {};
}

}  // namespace

MessageError ParseRouteTarget(const RequestHead& head, std::string* scratch, RouteTarget* target) {
  *target = {};
  scratch->clear();
  target->path = target->normal_path = head.path;
  if (head.form == TargetForm::kAsterisk) return {};
  // Nothing decoded is longer than what it came from, so no view into `scratch` is ever moved: the
  // normal path, the selector in it, and a query decoded in two steps.
  scratch->reserve(2 * head.path.size() + 2 * head.query.size());
  if (MessageError error = Normalize(head.path, scratch, &target->normal_path)) return error;
  if (HasDotSegment(target->normal_path)) return {400, "a dot segment in the path"};
  if (MessageError error = TakePrefix(scratch, target)) return error;
  return ReadQuery(head.query, scratch, target);
}

bool PercentDecode(std::string_view text, std::string* out) {
  const size_t begin = out->size();
  for (size_t at = 0; at < text.size(); ++at) {
    char byte = text[at];
    if (byte == '%') {
      if (!ReadEscape(text, at, &byte) || IsControl(byte)) {
        out->resize(begin);
        return false;
      }
      at += 2;
    }
    out->push_back(byte);
  }
  return true;
}

}  // namespace tao::http
