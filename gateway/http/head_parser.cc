#include "gateway/http/head_parser.h"

#include "gateway/http/grammar.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace tao::http {
namespace {

// Where `wanted` stands in [from, to) of `buffer`; `to` when it does not.
size_t FindByte(std::string_view buffer, size_t from, size_t to, char wanted) {
  const void* const hit = std::memchr(buffer.data() + from, wanted, to - from);
  return hit == nullptr ? to : static_cast<const char*>(hit) - buffer.data();
}

struct MethodName {
  std::string_view name;
  Method method;
};

constexpr MethodName kMethods[] = {
    {"POST", Method::kPost},   {"GET", Method::kGet},       {"HEAD", Method::kHead},
    {"PUT", Method::kPut},     {"DELETE", Method::kDelete}, {"OPTIONS", Method::kOptions},
    {"TRACE", Method::kTrace}, {"PATCH", Method::kPatch},
};

// Methods are case-sensitive (RFC 9110 section 9.1).
std::optional<Method> ParseMethod(std::string_view text) {
  for (const MethodName& known : kMethods) {
    if (known.name == text) return known.method;
  }
  return std::nullopt;
}

// HTTP-version = "HTTP/" DIGIT "." DIGIT (RFC 9112 section 2.3).
MessageError ParseVersion(std::string_view text, Version* version) {
  constexpr std::string_view kPrefix = "HTTP/";
  if (text.size() != kPrefix.size() + 3 || text.substr(0, kPrefix.size()) != kPrefix ||
      !IsDigit(text[5]) || text[6] != '.' || !IsDigit(text[7])) {
    return {400, "the start line does not name its version as HTTP/1.1 is written"};
  }
  if (text[5] != '1') return {505, "only HTTP/1.1 and HTTP/1.0 are spoken here"};
  *version = text[7] == '0' ? Version::kHttp10 : Version::kHttp11;
  return {};
}

// 0 when `target` is not an absolute URI of a scheme we serve, else the length of "scheme://".
size_t AbsolutePrefix(std::string_view target) {
  for (const std::string_view prefix : {"http://", "https://"}) {
    if (EqualsIgnoreCase(target.substr(0, prefix.size()), prefix)) return prefix.size();
  }
  return 0;
}

// Remembers in `moved` whether any two calls saw the buffer at different places.
void NoteBase(std::string_view buffer, const char*& base, bool& moved) {
  moved = moved || (base != nullptr && base != buffer.data());
  base = buffer.data();
}

}  // namespace

std::string_view NameOf(Method method) {
  for (const MethodName& known : kMethods) {
    if (known.method == method) return known.name;
  }
  return {};
}

HeadLines::Result HeadLines::Find(std::string_view buffer, size_t limit) {
  // A line of `limit` bytes and its CRLF: nothing behind that is looked at, so that the outcome is
  // the same whether more has arrived or not.
  const size_t full = begin_ + limit + 2;
  const size_t stop = std::min(buffer.size(), full);
  const size_t lf = FindByte(buffer, scanned_, stop, '\n');
  const size_t cr = FindByte(buffer, scanned_, lf, '\r');
  if (lf < stop) {
    if (cr == lf) return Result::kBareLf;
    if (cr + 1 != lf) return Result::kBareCr;
    end_ = cr;
    return Result::kLine;
  }
  if (cr + 1 < stop) return Result::kBareCr;
  if (stop == full) return Result::kTooLong;
  scanned_ = cr;  // a CR at the very end is looked at again when its LF may be there
  return Result::kNeedMore;
}

// ---- Field lines.

MessageError FieldSection::Refuse(int request_status, std::string_view reason) const {
  return {side_ == Side::kRequest ? request_status : 502, reason};
}

MessageError FieldSection::ParseLine(std::string_view line, FieldList& fields) const {
  if (IsOws(line.front())) {
    return fields.empty()
               ? Refuse(400, "white space before the first header field")
               : Refuse(400, "a folded header line (obs-fold); write each field on one line");
  }
  const size_t token = TokenLength(line);
  size_t colon = token;  // mostly
  if (token == line.size() || line[token] != ':') colon = line.find(':', token);
  if (colon == std::string_view::npos) return Refuse(400, "a header line without a colon");
  std::string_view name = line.substr(0, colon);
  if (side_ == Side::kResponse) {
    while (!name.empty() && IsOws(name.back())) name.remove_suffix(1);
  }
  if (name.empty() || name.size() != token) {
    if (!name.empty() && IsOws(name.back())) {
      return Refuse(400, "white space between a header field's name and its colon");
    }
    return Refuse(400,
                  "a header field's name is empty or holds a character that names may not hold");
  }
  const std::string_view value = TrimOws(line.substr(colon + 1));
  if (!IsFieldValue(value)) return Refuse(400, "a control character in a header field's value");
  if (fields.size() >= limits_.fields || !fields.Add({FieldIdOf(name), name, value})) {
    return Refuse(431, "too many header fields");
  }
  return {};
}

ParseState FieldSection::Parse(std::string_view buffer, HeadLines& lines, FieldList& fields,
                               MessageError& error) {
  for (;;) {
    const size_t left = limits_.section_bytes - bytes_;  // the section's last line may have no room
    const size_t limit = std::min(limits_.field_line_bytes, left < 2 ? 0 : left - 2);
    switch (lines.Find(buffer, limit)) {
      case HeadLines::Result::kNeedMore:
        return ParseState::kNeedMore;
      case HeadLines::Result::kBareCr:
        error = Refuse(400, "a carriage return without a line feed in the header");
        return ParseState::kError;
      case HeadLines::Result::kBareLf:
        error = Refuse(400, "a line feed without a carriage return in the header");
        return ParseState::kError;
      case HeadLines::Result::kTooLong:
        error = Refuse(431, limit == limits_.field_line_bytes ? "a header field is too long"
                                                              : "the header section is too long");
        return ParseState::kError;
      case HeadLines::Result::kLine:
        break;
    }
    const std::string_view line = lines.Line(buffer);
    lines.Advance();
    if (line.empty()) return ParseState::kComplete;
    bytes_ += line.size() + 2;
    error = ParseLine(line, fields);
    if (error) return ParseState::kError;
  }
}

// ---- Requests.

RequestHeadParser::RequestHeadParser(const HeadLimits& limits)
    : limits_(limits), section_(FieldSection::Side::kRequest, limits) {}

void RequestHeadParser::Reset() {
  Rewind();
  base_ = nullptr;
  moved_ = false;
}

void RequestHeadParser::Rewind() {
  lines_ = HeadLines();
  section_.Reset();
  head_.fields.Clear();
  error_ = {};
  started_ = false;
  has_request_line_ = false;
}

ParseState RequestHeadParser::Parse(std::string_view buffer) {
  NoteBase(buffer, base_, moved_);
  const ParseState state = ParseOn(buffer);
  if (state != ParseState::kComplete || !moved_) return state;
  // The buffer moved while the head came in: what was found is right, but points to where the bytes
  // used to be. One more pass over a head that is whole.
  Rewind();
  return ParseOn(buffer);
}

ParseState RequestHeadParser::ParseOn(std::string_view buffer) {
  while (!has_request_line_) {
    if (buffer.size() <= lines_.begin()) return ParseState::kNeedMore;
    const char first = buffer[lines_.begin()];
    const bool leading_crlf = lines_.begin() == 0 && first == '\r';
    started_ = !leading_crlf;
    // The first byte already tells a TLS handshake or other noise from a request.
    if (!leading_crlf && !IsTokenChar(first)) {
      error_ = {400, "the request line does not begin with a method"};
      return ParseState::kError;
    }
    switch (lines_.Find(buffer, leading_crlf ? 0 : limits_.start_line_bytes)) {
      case HeadLines::Result::kNeedMore:
        return ParseState::kNeedMore;
      case HeadLines::Result::kBareCr:
        error_ = {400, "a carriage return without a line feed in the request line"};
        return ParseState::kError;
      case HeadLines::Result::kBareLf:
        error_ = {400, "a line feed without a carriage return in the request line"};
        return ParseState::kError;
      case HeadLines::Result::kTooLong:
        error_ = {414, "the request line is too long"};
        return ParseState::kError;
      case HeadLines::Result::kLine:
        break;
    }
    const std::string_view line = lines_.Line(buffer);
    lines_.Advance();
    if (leading_crlf) continue;
    error_ = ParseRequestLine(line);
    if (error_) return ParseState::kError;
    has_request_line_ = true;
  }
  return section_.Parse(buffer, lines_, head_.fields, error_);
}

MessageError RequestHeadParser::ParseRequestLine(std::string_view line) {
  // method SP request-target SP HTTP-version, single spaces (RFC 9112 section 3).
  const size_t first_space = line.find(' ');
  const size_t last_space = line.rfind(' ');
  const std::string_view method = line.substr(0, first_space);
  if (!IsToken(method)) return {400, "the method holds a character that methods may not hold"};
  if (first_space == last_space) {  // one space, or none
    return {400, "the request line is not a method, a target and a version"};
  }
  MessageError error = ParseVersion(line.substr(last_space + 1), &head_.version);
  if (error) return error;
  const std::optional<Method> known = ParseMethod(method);
  if (!known.has_value()) return {501, "the method is not one of those this gateway knows"};
  head_.method = *known;
  return ParseTarget(line.substr(first_space + 1, last_space - first_space - 1));
}

MessageError RequestHeadParser::ParseTarget(std::string_view target) {
  if (!IsTarget(target)) {
    return {400, "the request target is empty or holds a character that must be percent-encoded"};
  }
  head_.target = target;
  head_.authority = {};
  if (target == "*") {
    if (head_.method != Method::kOptions) return {400, "the target * is for OPTIONS only"};
    head_.form = TargetForm::kAsterisk;
    head_.path = target;
    head_.query = {};
    head_.has_query = false;
    return {};
  }
  std::string_view rest = target;
  if (target.front() == '/') {
    head_.form = TargetForm::kOrigin;
  } else {
    const size_t prefix = AbsolutePrefix(target);
    if (prefix == 0) return {400, "the request target is neither a path nor an http URI"};
    head_.form = TargetForm::kAbsolute;
    rest.remove_prefix(prefix);
    head_.authority = rest.substr(0, rest.find_first_of("/?"));
    rest.remove_prefix(head_.authority.size());
    if (head_.authority.empty()) return {400, "the request target names no host"};
    if (head_.authority.find('@') != std::string_view::npos) {
      return {400, "the request target holds user information"};
    }
  }
  const size_t question = rest.find('?');
  head_.path = rest.substr(0, question);
  if (head_.path.empty()) head_.path = "/";  // RFC 9110 section 4.2.3
  head_.has_query = question != std::string_view::npos;
  head_.query = head_.has_query ? rest.substr(question + 1) : std::string_view();
  return {};
}

// ---- Responses.

ResponseHeadParser::ResponseHeadParser(const HeadLimits& limits)
    : limits_(limits), section_(FieldSection::Side::kResponse, limits) {}

void ResponseHeadParser::Reset() {
  Rewind();
  base_ = nullptr;
  moved_ = false;
}

void ResponseHeadParser::Rewind() {
  lines_ = HeadLines();
  section_.Reset();
  head_.fields.Clear();
  error_ = {};
  has_status_line_ = false;
}

ParseState ResponseHeadParser::Parse(std::string_view buffer) {
  NoteBase(buffer, base_, moved_);
  const ParseState state = ParseOn(buffer);
  if (state != ParseState::kComplete || !moved_) return state;
  Rewind();  // as for requests
  return ParseOn(buffer);
}

ParseState ResponseHeadParser::ParseOn(std::string_view buffer) {
  if (!has_status_line_) {
    if (buffer.empty()) return ParseState::kNeedMore;
    if (buffer.front() != 'H') {
      error_ = {502, "the answer does not begin with an HTTP status line"};
      return ParseState::kError;
    }
    switch (lines_.Find(buffer, limits_.start_line_bytes)) {
      case HeadLines::Result::kNeedMore:
        return ParseState::kNeedMore;
      case HeadLines::Result::kBareCr:
      case HeadLines::Result::kBareLf:
        error_ = {502, "the status line does not end in CRLF"};
        return ParseState::kError;
      case HeadLines::Result::kTooLong:
        error_ = {502, "the status line is too long"};
        return ParseState::kError;
      case HeadLines::Result::kLine:
        break;
    }
    const std::string_view line = lines_.Line(buffer);
    lines_.Advance();
    error_ = ParseStatusLine(line);
    if (error_) return ParseState::kError;
    has_status_line_ = true;
  }
  return section_.Parse(buffer, lines_, head_.fields, error_);
}

MessageError ResponseHeadParser::ParseStatusLine(std::string_view line) {
  // HTTP-version SP 3DIGIT SP [ reason-phrase ] (RFC 9112 section 4).
  constexpr size_t kVersionBytes = 8, kStatusEnd = 12;
  if (ParseVersion(line.substr(0, kVersionBytes), &head_.version)) {
    return {502, "the answer's version is not HTTP/1.1 or HTTP/1.0"};
  }
  if (line.size() <= kStatusEnd || line[kVersionBytes] != ' ' || line[kStatusEnd] != ' ' ||
      !IsDigit(line[9]) || !IsDigit(line[10]) || !IsDigit(line[11])) {
    return {502, "the status line does not hold a status of three digits and a reason"};
  }
  head_.status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (head_.status < 100 || head_.status > 599) return {502, "the status is not within 100 to 599"};
  head_.reason = line.substr(kStatusEnd + 1);
  if (!IsFieldValue(head_.reason)) return {502, "a control character in the reason phrase"};
  return {};
}

}  // namespace tao::http
