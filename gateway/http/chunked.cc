#include "gateway/http/chunked.h"

#include "gateway/http/grammar.h"

#include <algorithm>
#include <charconv>

namespace tao::http {

BodyStep ChunkedDecoder::Next(std::string_view input) {
  BodyStep step;
  while (state_ != State::kDone && state_ != State::kError) {
    if (step.consumed == input.size()) return step;
    if (state_ == State::kData) {
      const size_t run = std::min<uint64_t>(left_, input.size() - step.consumed);
      step.data = input.substr(step.consumed, run);
      step.consumed += run;
      left_ -= run;
      if (left_ == 0) state_ = State::kDataCr;
      return step;
    }
    state_ = NextState(input[step.consumed++]);
  }
  step.state = state_ == State::kDone ? BodyStep::State::kDone : BodyStep::State::kError;
  return step;
}

ChunkedDecoder::State ChunkedDecoder::Fail(int status, std::string_view reason) {
  error_ = {status, reason};
  return State::kError;
}

ChunkedDecoder::State ChunkedDecoder::NextState(char c) {
  if (state_ <= State::kExtensionEnd) return NextInSizeLine(c);
  if (state_ >= State::kTrailerStart) return NextInTrailers(c);
  switch (state_) {
    case State::kSizeLf:
      if (c != '\n') return Fail(400, "a carriage return without a line feed in a chunk-size line");
      line_bytes_ = 0;
      return left_ == 0 ? State::kTrailerStart : State::kData;
    case State::kDataCr:
      return c == '\r' ? State::kDataLf : Fail(400, "a chunk's data is longer than its size says");
    case State::kDataLf:
      return c == '\n' ? State::kSizeStart : Fail(400, "a chunk's data does not end in CRLF");
    default:
      return Fail(500, "the chunked decoder lost its state");
  }
}

// chunk-size [ chunk-ext ] up to its CR, where chunk-ext is
// *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )   (RFC 9112 section 7.1.1)
ChunkedDecoder::State ChunkedDecoder::NextInSizeLine(char c) {
  if (c != '\r' && ++line_bytes_ > limits_.line_bytes) {
    return Fail(400, "a chunk-size line is too long");
  }
  switch (state_) {
    case State::kSizeStart:
    case State::kSize: {
      const int digit = HexValue(c);
      if (digit >= 0) {
        if (left_ > (static_cast<uint64_t>(INT64_MAX) >> 4)) {
          return Fail(400, "a chunk size is not below 2^63");
        }
        left_ = left_ << 4 | static_cast<uint64_t>(digit);
        return State::kSize;
      }
      if (state_ == State::kSizeStart) return Fail(400, "a chunk size is not a hexadecimal number");
      return AfterExtensionPart(c, "a chunk size is not a hexadecimal number");
    }
    case State::kExtensionBws:
      if (IsOws(c)) return State::kExtensionBws;
      return c == ';' ? State::kExtensionStart
                      : Fail(400, "white space in a chunk-size line without an extension after it");
    case State::kExtensionStart:
      if (IsOws(c)) return State::kExtensionStart;
      return IsTokenChar(c) ? State::kExtensionName : Fail(400, "a chunk extension without a name");
    case State::kExtensionName:
      if (IsTokenChar(c)) return State::kExtensionName;
      if (IsOws(c)) return State::kExtensionEquals;
      if (c == '=') return State::kExtensionValue;
      return AfterExtensionPart(c, "a chunk extension's name is not a token");
    case State::kExtensionEquals:
      if (IsOws(c)) return State::kExtensionEquals;
      if (c == '=') return State::kExtensionValue;
      return c == ';' ? State::kExtensionStart
                      : Fail(400, "a chunk extension's name is not a token");
    case State::kExtensionValue:
      if (IsOws(c)) return State::kExtensionValue;
      if (c == '"') return State::kExtensionQuoted;
      return IsTokenChar(c) ? State::kExtensionToken
                            : Fail(400, "a chunk extension without a value");
    case State::kExtensionToken:
      if (IsTokenChar(c)) return State::kExtensionToken;
      return AfterExtensionPart(c, "a chunk extension's value is neither a token nor quoted");
    case State::kExtensionQuoted:
      if (c == '"') return State::kExtensionEnd;
      if (c == '\\') return State::kExtensionEscape;
      [[fallthrough]];
    case State::kExtensionEscape:
      return IsFieldValueChar(c) ? State::kExtensionQuoted
                                 : Fail(400, "a control character in a chunk extension");
    default:  // kExtensionEnd
      return AfterExtensionPart(c, "a chunk extension does not end where its value ends");
  }
}

// What may follow a size, a name or a value.
ChunkedDecoder::State ChunkedDecoder::AfterExtensionPart(char c, std::string_view otherwise) {
  if (c == '\r') return State::kSizeLf;
  if (c == ';') return State::kExtensionStart;
  if (IsOws(c)) return State::kExtensionBws;
  return Fail(400, otherwise);
}

// *( field-line CRLF ) CRLF, by the rules of head_parser.h.
ChunkedDecoder::State ChunkedDecoder::NextInTrailers(char c) {
  if (state_ == State::kEndLf) {
    return c == '\n' ? State::kDone : Fail(400, "the trailers do not end in CRLF");
  }
  if (state_ == State::kTrailerStart && c == '\r') return State::kEndLf;
  if (++trailer_bytes_ > limits_.trailer_bytes) return Fail(431, "the trailers are too long");
  switch (state_) {
    case State::kTrailerStart:
      return IsTokenChar(c) ? State::kTrailerName : Fail(400, "a trailer field without a name");
    case State::kTrailerName:
      if (IsTokenChar(c)) return State::kTrailerName;
      return c == ':' ? State::kTrailerValue : Fail(400, "a trailer field's name is not a token");
    case State::kTrailerValue:
      if (c == '\r') return State::kTrailerLf;
      return IsFieldValueChar(c) ? State::kTrailerValue
                                 : Fail(400, "a control character in a trailer field's value");
    default:  // kTrailerLf
      return c == '\n' ? State::kTrailerStart
                       : Fail(400, "a carriage return without a line feed in the trailers");
  }
}

ChunkHeader::ChunkHeader(size_t bytes) {
  char* const end = std::to_chars(text_.data(), text_.data() + 16, bytes, 16).ptr;
  end[0] = '\r';
  end[1] = '\n';
  size_ = static_cast<size_t>(end - text_.data()) + 2;
}

}  // namespace tao::http
