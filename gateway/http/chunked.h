#pragma once

// The chunked transfer coding (RFC 9112 section 7.1), both ways, without copying the data.

#include "gateway/http/message_error.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tao::http {

// What one call of a body decoder found.
struct BodyStep {
  enum class State : uint8_t { kNeedMore, kDone, kError };
  State state = State::kNeedMore;
  size_t consumed = 0;    // bytes of the input that are dealt with, `data` included
  std::string_view data;  // body bytes, a view into the input; may be empty in every state
};

struct ChunkedLimits {
  size_t line_bytes = 256;          // one chunk-size line with its extensions, without its CRLF
  size_t trailer_bytes = 8 * 1024;  // the whole trailer section; 431
};

// Decodes incrementally; the result does not depend on how the input is cut. Lines end in CRLF and
// nothing else; extensions are checked against the grammar and dropped; trailers are checked like
// field lines and dropped (they never become header fields: RFC 9110 section 6.5.1).
class ChunkedDecoder {
 public:
  explicit ChunkedDecoder(const ChunkedLimits& limits = {}) : limits_(limits) {}

  // Reads on in `input`, which begins where the last step's `consumed` ended. Returns after the
  // first run of data, at the end of the body, at an error, or with all input consumed; call again
  // with the rest until `data` is empty and the state is kNeedMore. Bytes after the body are not
  // consumed.
  BodyStep Next(std::string_view input);

  const MessageError& error() const { return error_; }  // after kError

 private:
  // In this order: size line, between, data, trailers.
  enum class State : uint8_t {
    kSizeStart,       // first digit of a chunk-size line
    kSize,            // more digits
    kExtensionBws,    // white space before ";" (or, in error, the end of the line)
    kExtensionStart,  // after ";"
    kExtensionName,
    kExtensionEquals,  // white space after the name
    kExtensionValue,   // after "="
    kExtensionToken,
    kExtensionQuoted,
    kExtensionEscape,  // after a backslash
    kExtensionEnd,     // after a closing quote
    kSizeLf,           // CR seen
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,  // first byte of a trailer line, or the CR that ends the body
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
    kDone,
    kError,
  };

  State NextState(char c);
  State NextInSizeLine(char c);
  State AfterExtensionPart(char c, std::string_view otherwise);
  State NextInTrailers(char c);
  State Fail(int status, std::string_view reason);

  ChunkedLimits limits_;
  State state_ = State::kSizeStart;
  uint64_t left_ = 0;      // of the chunk: its size while it is read, then what is still to come
  size_t line_bytes_ = 0;  // of the current chunk-size line
  size_t trailer_bytes_ = 0;
  MessageError error_;
};

// Encoding: header, data, kChunkEnd for each piece (never an empty one: that would be the end), and
// kLastChunk after the last.
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// The line before a chunk of `bytes` data bytes. Holds its own text, so that it can be handed to a
// gathered write; keep it alive until that is done.
class ChunkHeader {
 public:
  explicit ChunkHeader(size_t bytes);
  std::string_view text() const { return {text_.data(), size_}; }

 private:
  std::array<char, 18> text_;  // 16 digits and CRLF
  size_t size_ = 0;
};

}  // namespace tao::http
