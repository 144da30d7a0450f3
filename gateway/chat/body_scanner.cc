#include "gateway/chat/body_scanner.h"

#include <absl/strings/str_format.h>

#include "gateway/chat/json_text.h"
#include "server/base/errors.h"

namespace tao::chat {
namespace {

unsigned char ByteAt(const char* at) { return static_cast<unsigned char>(*at); }

// The first byte that is not plain ASCII text of a JSON string: a quote, a backslash, a control, or
// the lead of a multi-byte character. Bodies carry 100 MB of base64: this loop is where time goes.
const char* SkipPlain(const char* at, const char* end) {
  while (at != end && ByteAt(at) >= 0x20 && ByteAt(at) < 0x80 && *at != '"' && *at != '\\') ++at;
  return at;
}

std::string Shown(const char* at) {
  const unsigned char byte = ByteAt(at);
  return byte > 0x20 && byte < 0x7f ? absl::StrFormat("'%c'", *at)
                                    : absl::StrFormat("byte 0x%02x", byte);
}

}  // namespace

BodyScanner::BodyScanner(base::BodySink& sink, BodyScannerOptions options)
    : sink_(sink), options_(options) {}

absl::Status BodyScanner::Feed(std::string_view bytes) {
  feed_ = bytes.data();
  const char* at = bytes.data();
  const char* const end = at + bytes.size();
  while (at != end && error_.ok()) {
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
        at = ReadLiteral(at);
        break;
      default:
        at = ReadStructure(at);
        break;
    }
  }
  offset_ += static_cast<uint64_t>(at - feed_);
  return error_;
}

absl::Status BodyScanner::Finish() {
  if (error_.ok() && state_ != State::kDone) {
    error_ = base::TokenError(
        base::ErrorToken::kBadRequest,
        offset_ == 0
            ? absl::StrFormat("%s is empty: expected a JSON object", options_.subject)
            : absl::StrFormat("%s is not valid JSON: it ends after %d bytes, where %s was expected",
                              options_.subject, offset_, Expected()));
  }
  return error_;
}

// One byte outside of strings, numbers and literals.
const char* BodyScanner::ReadStructure(const char* at) {
  if (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r') return at + 1;
  switch (state_) {
    case State::kStart:
      return *at == '{' ? Open(at) : Refuse(at, Expected());
    case State::kFirstKey:
      if (*at == '}') return Close(at);
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
      return at + 1;
    case State::kFirstElement:
      if (*at == ']') return Close(at);
      [[fallthrough]];
    case State::kValue:
      return BeginValue(at);
    case State::kAfterValue:
      if (*at == (inside_object() ? '}' : ']')) return Close(at);
      if (*at != ',') return Refuse(at, Expected());
      state_ = inside_object() ? State::kKey : State::kValue;
      return at + 1;
    default:
      return Refuse(at, Expected());
  }
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
  if (*at != '-' && (*at < '0' || *at > '9')) return Refuse(at, Expected());
  text_.assign(1, *at);
  number_state_ = *at == '-'   ? NumberState::kMinus
                  : *at == '0' ? NumberState::kZero
                               : NumberState::kInteger;
  state_ = State::kNumber;
  return at + 1;
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

const char* BodyScanner::ReadString(const char* at, const char* end) {
  const char* const run = at;  // everything from here on is passed on as it stands
  const auto text = [&run](const char* to) {
    return std::string_view(run, static_cast<size_t>(to - run));
  };
  // The text before the error first, as it would have come in smaller pieces.
  const auto refuse_after = [&](std::string_view before, const char* wrong,
                                std::string_view expected) {
    EmitText(run, before);
    return error_.ok() ? Refuse(wrong, expected) : wrong;
  };
  while (true) {
    at = SkipPlain(at, end);
    if (at == end) {
      EmitText(run, text(at));
      return at;
    }
    if (*at == '"') return EndString(run, at);
    if (ByteAt(at) < 0x20) {
      return refuse_after(text(at), at, "an escape sequence for a control character");
    }
    if (*at == '\\') {
      EmitText(run, text(at));
      held_ = '\\';
      state_ = State::kEscape;
      return at + 1;
    }
    const size_t bytes = Utf8Bytes(ByteAt(at));
    if (bytes == 0) return refuse_after(text(at), at, "UTF-8");
    if (static_cast<size_t>(end - at) < bytes) {
      EmitText(run, text(at));
      held_ = *at;
      state_ = State::kCharacter;
      return at + 1;
    }
    for (size_t i = 1; i < bytes; ++i) {
      if (!ContinuesUtf8(ByteAt(at), i, ByteAt(at + i)))
        return refuse_after(text(at), at + i, "UTF-8");
    }
    at += bytes;
  }
}

const char* BodyScanner::ReadCharacter(const char* at) {
  const auto lead = static_cast<unsigned char>(held_[0]);
  if (!ContinuesUtf8(lead, held_.size(), ByteAt(at))) return Refuse(at, "UTF-8");
  held_ += *at;
  if (held_.size() == Utf8Bytes(lead)) {
    state_ = State::kString;
    EmitText(at, held_);
  }
  return at + 1;
}

// One byte of \n, \uXXXX or \uXXXX\uXXXX (a surrogate pair).
const char* BodyScanner::ReadEscape(const char* at) {
  const size_t have = held_.size();
  if (have == 1) {
    if (std::string_view("\"\\/bfnrtu").find(*at) == std::string_view::npos) {
      return Refuse(at, "one of \" \\ / b f n r t u after a backslash");
    }
  } else if (have == 6 || have == 7) {
    if (*at != (have == 6 ? '\\' : 'u')) return Refuse(at, "the second half of a surrogate pair");
  } else if (HexDigit(*at) < 0) {
    return Refuse(at, "four hexadecimal digits after \\u");
  }
  held_ += *at;
  bool whole = held_.size() == 2 && *at != 'u';
  if (held_.size() == 6) {
    const uint32_t unit = EscapedUnit(held_);
    if (IsLowSurrogate(unit))
      return Refuse(at, "the first half of a surrogate pair before this one");
    whole = !IsHighSurrogate(unit);
  } else if (held_.size() == 12) {
    if (!IsLowSurrogate(EscapedUnit(std::string_view(held_).substr(6)))) {
      return Refuse(at, "the second half of a surrogate pair");
    }
    whole = true;
  }
  if (whole) {
    state_ = State::kString;
    const bool raw = options_.string_form == StringForm::kRaw && !in_key_;
    EmitText(at, raw ? held_ : DecodedEscape(held_));
  }
  return at + 1;
}

void BodyScanner::EmitText(const char* at, std::string_view piece) {
  if (piece.empty()) return;
  if (!in_key_) return Deliver(sink_.OnStringPiece(piece, /*last=*/false));
  if (text_.size() + piece.size() > kMaxBodyKeyBytes) {
    Refuse(at, absl::StrFormat("a name of at most %d bytes", kMaxBodyKeyBytes));
    return;
  }
  text_ += piece;
}

const char* BodyScanner::EndString(const char* run, const char* quote) {
  const std::string_view piece(run, static_cast<size_t>(quote - run));
  if (in_key_) {
    EmitText(run, piece);
    if (!error_.ok()) return run;
    state_ = State::kColon;
    Deliver(sink_.OnKey(text_));
  } else {
    state_ = State::kAfterValue;
    Deliver(sink_.OnStringPiece(piece, /*last=*/true));
  }
  return quote + 1;
}

const char* BodyScanner::ReadNumber(const char* at, const char* end) {
  using N = NumberState;
  for (; at != end; ++at) {
    const bool digit = *at >= '0' && *at <= '9';
    const bool exponent = *at == 'e' || *at == 'E';
    switch (number_state_) {
      case N::kMinus:
        if (!digit) return Refuse(at, "a digit after the minus sign");
        number_state_ = *at == '0' ? N::kZero : N::kInteger;
        break;
      case N::kZero:
      case N::kInteger:
        if (digit && number_state_ == N::kInteger) break;
        if (*at != '.' && !exponent) return EndNumber(at);
        number_state_ = exponent ? N::kE : N::kPoint;
        break;
      case N::kPoint:
        if (!digit) return Refuse(at, "a digit after the decimal point");
        number_state_ = N::kFraction;
        break;
      case N::kFraction:
        if (digit) break;
        if (!exponent) return EndNumber(at);
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
        if (!digit) return EndNumber(at);
        break;
    }
    if (text_.size() == kMaxBodyNumberBytes) {
      return Refuse(at, absl::StrFormat("a number of at most %d bytes", kMaxBodyNumberBytes));
    }
    text_ += *at;
  }
  return at;
}

// `at` is the first byte after the number; it is read again, as structure.
const char* BodyScanner::EndNumber(const char* at) {
  state_ = State::kAfterValue;
  Deliver(sink_.OnNumber(text_));
  return at;
}

const char* BodyScanner::ReadLiteral(const char* at) {
  if (*at != literal_[literal_read_]) return Refuse(at, Expected());
  if (++literal_read_ == literal_.size()) {
    state_ = State::kAfterValue;
    Deliver(literal_ == "null" ? sink_.OnNull() : sink_.OnBool(literal_ == "true"));
  }
  return at + 1;
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
  }
  return "";
}

void BodyScanner::Deliver(absl::Status status) { error_ = std::move(status); }

const char* BodyScanner::Refuse(const char* at, std::string_view expected) {
  error_ = base::TokenError(
      base::ErrorToken::kBadRequest,
      absl::StrFormat("%s is not valid JSON: at byte %d expected %s, found %s", options_.subject,
                      offset_ + static_cast<uint64_t>(at - feed_), expected, Shown(at)));
  return at;
}

}  // namespace tao::chat
