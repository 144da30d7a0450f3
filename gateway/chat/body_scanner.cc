#include "gateway/chat/body_scanner.h"

#include <absl/strings/str_format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "server/base/errors.h"

namespace tao::chat {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// JSON's four, which indented bodies have by the dozen: of spaces up to eight in one step.
const char* SkipSpace(const char* at, const char* end) {
  constexpr uint64_t kEightSpaces = 0x2020202020202020;
  while (at != end && static_cast<unsigned char>(*at) <= ' ') {
    if (std::endian::native == std::endian::little && *at == ' ' && end - at >= 8) {
      uint64_t eight;
      std::memcpy(&eight, at, sizeof(eight));
      at += std::countr_zero(eight ^ kEightSpaces) / 8;  // the first that differs
      continue;
    }
    if (*at != ' ' && *at != '\n' && *at != '\t' && *at != '\r') break;
    ++at;
  }
  return at;
}

std::string Shown(const char* at) {
  const auto byte = static_cast<unsigned char>(*at);
  return byte > 0x20 && byte < 0x7f ? absl::StrFormat("'%c'", *at)
                                    : absl::StrFormat("byte 0x%02x", byte);
}

}  // namespace

BodyScanner::BodyScanner(base::BodySink& sink, BodyScannerOptions options)
    : sink_(sink), options_(options), kernels_(*options.kernels) {}

absl::Status BodyScanner::Feed(std::string_view bytes) {
  feed_ = bytes.data();
  const char* at = bytes.data();
  const char* const end = at + bytes.size();
  while (at != end && state_ != State::kFailed) {
    switch (state_) {
      case State::kString:
        at = ReadString(at, end);
        break;
      case State::kEscape:
        at = ReadEscape(at);
        break;
      case State::kCharacter:
        at = ReadCharacter(at);
        break;
      case State::kNumber:
        at = ReadNumber(at, end);
        break;
      case State::kLiteral:
        at = ReadLiteral(at, end);
        break;
      default:
        at = ReadStructure(at, end);
        break;
    }
  }
  offset_ += static_cast<uint64_t>(at - feed_);
  return error_;
}

absl::Status BodyScanner::Finish() {
  if (state_ != State::kDone && state_ != State::kFailed) {
    error_ = base::TokenError(
        base::ErrorToken::kBadRequest,
        offset_ == 0
            ? absl::StrFormat("%s is empty: expected a JSON object", options_.subject)
            : absl::StrFormat("%s is not valid JSON: it ends after %d bytes, where %s was expected",
                              options_.subject, offset_, Expected()));
    state_ = State::kFailed;
  }
  return error_;
}

// White space and punctuation, up to a string, a number or a literal.
const char* BodyScanner::ReadStructure(const char* at, const char* end) {
  while (state_ <= State::kDone) {
    at = SkipSpace(at, end);
    if (at == end) return at;
    switch (state_) {
      case State::kFirstKey:
        if (*at == '}') {
          at = Close(at);
          break;
        }
        [[fallthrough]];
      case State::kKey:
        if (*at != '"') return Refuse(at, Expected());
        in_key_ = true;
        text_.clear();
        state_ = State::kString;
        return at + 1;
      case State::kColon:
        if (*at != ':') return Refuse(at, Expected());
        state_ = State::kValue;
        ++at;
        break;
      case State::kFirstElement:
        if (*at == ']') {
          at = Close(at);
          break;
        }
        [[fallthrough]];
      case State::kValue:
        at = BeginValue(at);
        break;
      case State::kAfterValue:
        if (*at == ',') {
          state_ = inside_object() ? State::kKey : State::kValue;
          ++at;
        } else if (*at == (inside_object() ? '}' : ']')) {
          at = Close(at);
        } else {
          return Refuse(at, Expected());
        }
        break;
      case State::kStart:
        if (*at == '{') {
          at = Open(at);
          break;
        }
        [[fallthrough]];
      default:
        return Refuse(at, Expected());
    }
  }
  return at;
}

const char* BodyScanner::BeginValue(const char* at) {
  switch (*at) {
    case '{':
    case '[':
      return Open(at);
    case '"':
      in_key_ = false;
      state_ = State::kString;
      return at + 1;
    case 't':
    case 'f':
    case 'n':
      literal_ = *at == 't' ? "true" : *at == 'f' ? "false" : "null";
      literal_read_ = 0;
      state_ = State::kLiteral;
      return at;
    default:
      break;
  }
  if (*at != '-' && !IsDigit(*at)) return Refuse(at, Expected());
  text_.clear();
  number_state_ = NumberState::kBegin;
  state_ = State::kNumber;
  return at;
}

const char* BodyScanner::Open(const char* at) {
  if (depth_ == kMaxBodyDepth) {
    return Refuse(at, absl::StrFormat("at most %d nested objects and arrays", kMaxBodyDepth));
  }
  const bool object = *at == '{';
  is_object_[static_cast<size_t>(depth_++)] = object;
  state_ = object ? State::kFirstKey : State::kFirstElement;
  Deliver(object ? sink_.OnObjectBegin() : sink_.OnArrayBegin());
  return at + 1;
}

const char* BodyScanner::Close(const char* at) {
  const bool object = inside_object();
  state_ = --depth_ == 0 ? State::kDone : State::kAfterValue;
  Deliver(object ? sink_.OnObjectEnd() : sink_.OnArrayEnd());
  return at + 1;
}

const char* BodyScanner::ReadNumber(const char* at, const char* end) {
  using N = NumberState;
  const char* const begin = at;
  const auto room = static_cast<ptrdiff_t>(kMaxBodyNumberBytes - text_.size());
  const char* const limit = end - begin > room ? begin + room : end;
  // To the last of the digits that follow.
  const auto skip_digits = [&at, limit] {
    while (limit - at > 1 && IsDigit(at[1])) ++at;
  };
  for (; at != end; ++at) {
    const bool digit = IsDigit(*at);
    const bool exponent = *at == 'e' || *at == 'E';
    switch (number_state_) {
      case N::kBegin:
        number_state_ = *at == '-' ? N::kMinus : *at == '0' ? N::kZero : N::kInteger;
        break;
      case N::kMinus:
        if (!digit) return Refuse(at, "a digit after the minus sign");
        number_state_ = *at == '0' ? N::kZero : N::kInteger;
        break;
      case N::kZero:
      case N::kInteger:
        if (digit && number_state_ == N::kInteger) {
          skip_digits();
          break;
        }
        if (*at != '.' && !exponent) return EndNumber(begin, at);
        number_state_ = exponent ? N::kE : N::kPoint;
        break;
      case N::kPoint:
        if (!digit) return Refuse(at, "a digit after the decimal point");
        number_state_ = N::kFraction;
        break;
      case N::kFraction:
        if (digit) {
          skip_digits();
          break;
        }
        if (!exponent) return EndNumber(begin, at);
        number_state_ = N::kE;
        break;
      case N::kE:
        if (*at == '+' || *at == '-') {
          number_state_ = N::kESign;
          break;
        }
        [[fallthrough]];
      case N::kESign:
        if (!digit) return Refuse(at, "a digit in the exponent");
        number_state_ = N::kExponent;
        break;
      case N::kExponent:
        if (!digit) return EndNumber(begin, at);
        break;
    }
    if (at - begin >= room) {
      return Refuse(at, absl::StrFormat("a number of at most %d bytes", kMaxBodyNumberBytes));
    }
  }
  text_.append(begin, at);
  return at;
}

// `at` is the first byte after the number; it is read again, as structure.
const char* BodyScanner::EndNumber(const char* begin, const char* at) {
  state_ = State::kAfterValue;
  std::string_view number(begin, static_cast<size_t>(at - begin));
  if (!text_.empty()) number = text_.append(number);
  Deliver(sink_.OnNumber(number));
  return at;
}

const char* BodyScanner::ReadLiteral(const char* at, const char* end) {
  for (; at != end && literal_read_ < literal_.size(); ++at, ++literal_read_) {
    if (*at != literal_[literal_read_]) return Refuse(at, Expected());
  }
  if (literal_read_ == literal_.size()) {
    state_ = State::kAfterValue;
    Deliver(literal_ == "null" ? sink_.OnNull() : sink_.OnBool(literal_ == "true"));
  }
  return at;
}

// What the present state needs, in the words of error messages.
std::string_view BodyScanner::Expected() const {
  switch (state_) {
    case State::kStart:
      return "{ of a JSON object, in UTF-8 without byte order mark";
    case State::kFirstKey:
      return "a name in double quotes or }";
    case State::kKey:
      return "a name in double quotes";
    case State::kColon:
      return ": after the name";
    case State::kValue:
      return "a value";
    case State::kFirstElement:
      return "a value or ]";
    case State::kAfterValue:
      return inside_object() ? ", or }" : ", or ]";
    case State::kString:
      return "the closing quote of a string";
    case State::kEscape:
      return "the rest of an escape sequence";
    case State::kCharacter:
      return "the rest of a UTF-8 character";
    case State::kNumber:
      return "the rest of a number";
    case State::kLiteral:
      return literal_;
    case State::kDone:
      return "nothing after the object";
    case State::kFailed:
      break;
  }
  return "";
}

bool BodyScanner::Deliver(absl::Status status) {
  if (status.ok()) return true;
  error_ = std::move(status);
  state_ = State::kFailed;
  return false;
}

const char* BodyScanner::Refuse(const char* at, std::string_view expected) {
  error_ = base::TokenError(
      base::ErrorToken::kBadRequest,
      absl::StrFormat("%s is not valid JSON: at byte %d expected %s, found %s", options_.subject,
                      offset_ + static_cast<uint64_t>(at - feed_), expected, Shown(at)));
  state_ = State::kFailed;
  return at;
}

}  // namespace tao::chat
