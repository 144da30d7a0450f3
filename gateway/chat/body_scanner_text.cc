// The part of BodyScanner that reads strings, in which nearly all bytes of a body stand.
//
// Three ways, from fast to exact. Plain text is found and passed on as it stands. Text with escapes
// is decoded into a buffer, as long as nothing is wrong with it. Everything else (an escape or a
// character that the end of the input cuts off, every error) is read one escape, at last one byte
// at a time, which says exactly what is wrong where. The fast ways never report an error: they stop
// before it.

#include <absl/strings/str_format.h>

#include "gateway/chat/body_scanner.h"
#include "gateway/chat/json_text.h"
#include "gateway/chat/text_decoder.h"
#include "server/base/strings.h"

namespace tao::chat {
namespace {

// On the stack of each call, not in the scanner: thousands of scanners wait for their next bytes.
constexpr size_t kDecodedPieceBytes = 4096;

// Plain text before an escape that is worth an event of its own.
constexpr ptrdiff_t kLongRunBytes = 256;

std::string_view Between(const char* from, const char* to) {
  return {from, static_cast<size_t>(to - from)};
}

}  // namespace

const char* BodyScanner::ReadString(const char* at, const char* end) {
  bool batch = !in_key_ && options_.string_form == StringForm::kDecoded;
  while (true) {
    const PlainRun run =
        end - at < kStringBlockBytes / 4 ? PlainRunByBytes(at, end) : kernels_.plain_run(at, end);
    std::string_view text = Between(at, run.stop);
    if (!run.ascii) {
      if (run.stop == end) text.remove_suffix(CutCharacterBytes(text));
      if (!base::IsValidUtf8(text)) return RefuseUtf8(at, text);
    }
    if (run.stop == end) {
      const char* const cut = at + text.size();
      if (!EmitText(at, text) || cut == end) return end;
      held_ = *cut;
      state_ = State::kCharacter;
      return cut + 1;
    }
    if (*run.stop == '"') return EndString(at, run.stop);
    if (*run.stop != '\\') {
      if (!EmitText(at, text)) return at;
      return Refuse(run.stop, "an escape sequence for a control character");
    }
    if (batch && end - run.stop >= kDecodeAhead) {
      if (text.size() >= kLongRunBytes) {
        if (!EmitText(at, text)) return at;
        at = run.stop;
      }
      at = ReadEscapedText(at, end, batch);
      if (state_ != State::kString) return at;
      continue;
    }
    if (!EmitText(at, text)) return at;
    at = run.stop;
    const std::string_view escape = Between(at, at + WholeEscape(Between(at, end)));
    if (escape.empty()) {
      held_ = '\\';
      state_ = State::kEscape;
      return at + 1;
    }
    if (!EmitEscape(at, escape)) return at;
    at += escape.size();
  }
}

// Text of a string value from `at` on, decoded and in large pieces. Ends with the string, where it
// has become plain, or (`batch` is false then) where it must be read one escape at a time.
const char* BodyScanner::ReadEscapedText(const char* at, const char* end, bool& batch) {
  using End = DecodedText::End;
  char buffer[kDecodedPieceBytes];
  while (true) {
    const DecodedText decoded = DecodeText(kernels_, at, end, buffer);
    std::string_view piece(buffer, decoded.size);
    const char* stop = decoded.stop;
    if (!decoded.ascii) {
      // An escape ends a character that was cut off before it, and never begins with the rest of
      // one: the decoded text is UTF-8 exactly if the source is.
      if (decoded.end != End::kStop) {
        const size_t cut = CutCharacterBytes(piece);  // copied as it stood
        piece.remove_suffix(cut);
        stop -= cut;
      }
      if (!base::IsValidUtf8(piece)) {
        batch = false;
        return at;
      }
    }
    if (decoded.end == End::kStop && *stop == '"') {
      state_ = State::kAfterValue;
      Deliver(sink_.OnStringPiece(piece, /*last=*/true));
      return stop + 1;
    }
    if (!EmitText(at, piece)) return at;
    at = stop;
    if (decoded.end == End::kStop) batch = false;
    if (decoded.end != End::kRoom) return at;
  }
}

// One byte of a multi-byte character that began in an earlier input.
const char* BodyScanner::ReadCharacter(const char* at) {
  const auto lead = static_cast<unsigned char>(held_[0]);
  if (!ContinuesUtf8(lead, held_.size(), static_cast<unsigned char>(*at))) {
    return Refuse(at, "UTF-8");
  }
  held_ += *at;
  if (held_.size() == Utf8Bytes(lead)) {
    state_ = State::kString;
    EmitText(at, held_);
  }
  return at + 1;
}

// One byte of an escape sequence that is wrong or cut off: \n, \uXXXX or \uXXXX\uXXXX (a surrogate
// pair).
const char* BodyScanner::ReadEscape(const char* at) {
  const size_t have = held_.size();
  if (have == 1) {
    if (*at != 'u' && SimpleEscape(*at) == 0) {
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
    const int32_t unit = CodeUnit(held_.data() + 2);
    if (IsLowSurrogate(unit)) {
      return Refuse(at, "the first half of a surrogate pair before this one");
    }
    whole = !IsHighSurrogate(unit);
  } else if (held_.size() == 12) {
    if (!IsLowSurrogate(CodeUnit(held_.data() + 8))) {
      return Refuse(at, "the second half of a surrogate pair");
    }
    whole = true;
  }
  if (whole) {
    state_ = State::kString;
    EmitEscape(at, held_);
  }
  return at + 1;
}

// The text up to the character that is not UTF-8 first, as it would have come in smaller pieces.
const char* BodyScanner::RefuseUtf8(const char* at, std::string_view text) {
  const Utf8Error error = FindUtf8Error(text);
  if (!EmitText(at, text.substr(0, error.character))) return at;
  return Refuse(at + error.byte, "UTF-8");
}

const char* BodyScanner::EndString(const char* run, const char* quote) {
  const std::string_view piece = Between(run, quote);
  if (!in_key_) {
    state_ = State::kAfterValue;
    Deliver(sink_.OnStringPiece(piece, /*last=*/true));
    return quote + 1;
  }
  state_ = State::kColon;
  if (text_.empty() && piece.size() <= kMaxBodyKeyBytes) {
    Deliver(sink_.OnKey(piece));
  } else if (EmitText(run, piece)) {
    Deliver(sink_.OnKey(text_));
  } else {
    return run;
  }
  return quote + 1;
}

bool BodyScanner::EmitEscape(const char* at, std::string_view escape) {
  const bool raw = options_.string_form == StringForm::kRaw && !in_key_;
  return raw ? EmitText(at, escape) : EmitText(at, DecodedEscape(escape));
}

// False: the scan has ended with an error, of the sink or because of a name's length.
bool BodyScanner::EmitText(const char* at, std::string_view piece) {
  if (piece.empty()) return true;
  if (!in_key_) return Deliver(sink_.OnStringPiece(piece, /*last=*/false));
  if (text_.size() + piece.size() > kMaxBodyKeyBytes) {
    Refuse(at, absl::StrFormat("a name of at most %d bytes", kMaxBodyKeyBytes));
    return false;
  }
  text_ += piece;
  return true;
}

}  // namespace tao::chat
