#pragma once

// The strict grammar of RFC 9112 over one contiguous buffer: in place, incremental, without
// allocation.
//
//   RequestHeadParser parser(limits);
//   for (;;) {
//     switch (parser.Parse(buffer_so_far)) {     // from the first byte of the head on
//       case ParseState::kNeedMore: read more, appended to the buffer; continue;
//       case ParseState::kError:    answer parser.error(), close; return;
//       case ParseState::kComplete: use parser.head(); the body begins at parser.head_bytes();
//     }
//   }
//   ... after the exchange: parser.Reset(), with the buffer shifted to the next head.
//
// The buffer may move between calls, as long as the bytes that were there stay the same; it may
// hold more than the head. Each byte is looked at a bounded number of times, however the input is
// cut, and the outcome does not depend on the cuts. An error is reported at the end of its
// line at the latest.
//
// Refused, in both directions: bare CR, bare LF, folded lines (obs-fold), white space before the
// first field, names that are no token, control bytes in values. Refused in requests, removed in
// responses: white space between name and colon (RFC 9112 section 5.1). A request may be preceded
// by one CRLF (RFC 9112 section 2.2). Its target holds only the characters of RFC 3986, plus "["
// and "]", which URL libraries leave bare in queries; no fragment and no user information.
// Versions: RFC 9110 section 2.5; a major version other than 1 is 505.

#include "gateway/http/head.h"
#include "gateway/http/message_error.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tao::http {

enum class ParseState : uint8_t { kNeedMore, kComplete, kError };

// Cuts a head into lines and remembers where the search stopped. Part of the two parsers below.
class HeadLines {
 public:
  enum class Result : uint8_t { kNeedMore, kLine, kBareCr, kBareLf, kTooLong };

  // The line that begins at begin(): up to its CRLF, at most `limit` bytes without it. After kLine,
  // Line() is its text; Advance moves on to the next.
  Result Find(std::string_view buffer, size_t limit);
  std::string_view Line(std::string_view buffer) const {
    return buffer.substr(begin_, end_ - begin_);
  }
  size_t begin() const { return begin_; }
  void Advance() { begin_ = scanned_ = end_ + 2; }

 private:
  size_t begin_ = 0;    // of the current line
  size_t end_ = 0;      // of the current line, once found
  size_t scanned_ = 0;  // everything before this holds no line end
};

// Parses the field lines and the empty line that ends them. Part of the two parsers below.
class FieldSection {
 public:
  enum class Side : uint8_t { kRequest, kResponse };

  FieldSection(Side side, const HeadLimits& limits) : side_(side), limits_(limits) {}
  // Begins at lines.begin(). On kComplete, lines.begin() is the first byte after the head.
  ParseState Parse(std::string_view buffer, HeadLines& lines, FieldList& fields,
                   MessageError& error);
  void Reset() { bytes_ = 0; }

 private:
  MessageError ParseLine(std::string_view line, FieldList& fields) const;
  MessageError Refuse(int request_status, std::string_view reason) const;

  Side side_;
  HeadLimits limits_;
  size_t bytes_ = 0;  // of the lines so far, with their CRLFs
};

class RequestHeadParser {
 public:
  explicit RequestHeadParser(const HeadLimits& limits = {});

  // After kComplete or kError, call Reset before the next message.
  ParseState Parse(std::string_view buffer);

  const RequestHead& head() const { return head_; }     // after kComplete
  size_t head_bytes() const { return lines_.begin(); }  // after kComplete: the body begins here
  const MessageError& error() const { return error_; }  // after kError
  // Whether a byte of a message was seen, a lone CRLF before it apart: closing now is not silent.
  bool started() const { return started_; }
  void Reset();

 private:
  void Rewind();
  ParseState ParseOn(std::string_view buffer);
  MessageError ParseRequestLine(std::string_view line);
  MessageError ParseTarget(std::string_view target);

  HeadLimits limits_;
  HeadLines lines_;
  FieldSection section_;
  RequestHead head_;
  MessageError error_;
  const char* base_ = nullptr;  // where the buffer stood in the last call
  bool moved_ = false;          // it stood elsewhere before: views taken then are stale
  bool started_ = false;
  bool has_request_line_ = false;
};

// For answers of the upstream: every error is 502. Interim (1xx) heads are heads of their own:
// Reset, and parse on behind head_bytes().
class ResponseHeadParser {
 public:
  explicit ResponseHeadParser(const HeadLimits& limits = {});

  ParseState Parse(std::string_view buffer);

  const ResponseHead& head() const { return head_; }
  size_t head_bytes() const { return lines_.begin(); }
  const MessageError& error() const { return error_; }
  void Reset();

 private:
  void Rewind();
  ParseState ParseOn(std::string_view buffer);
  MessageError ParseStatusLine(std::string_view line);

  HeadLimits limits_;
  HeadLines lines_;
  FieldSection section_;
  ResponseHead head_;
  MessageError error_;
  const char* base_ = nullptr;
  bool moved_ = false;
  bool has_status_line_ = false;
};

}  // namespace tao::http
