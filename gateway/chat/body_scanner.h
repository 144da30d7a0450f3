#pragma once

// Reads a JSON body as it arrives and tells a BodySink what is in it: one pass, no document tree,
// no recursion (a bit per open container), memory that does not grow with the body. Every request
// body goes through it, so that a request can be judged without being held; JSON-to-SSE reads
// answers with it.
//
//   BodyScanner scanner(sink);
//   while (...) if (absl::Status bad = scanner.Feed(piece); !bad.ok()) return bad;
//   return scanner.Finish();
//
// Strict RFC 8259: UTF-8 only, no byte order mark, no NaN, comments, leading zeros, raw controls in
// strings, lone surrogates or bytes after the value; the top level must be an object. What we
// accept, every backend's parser reads in the same way; what one of them could read differently, we
// refuse. Duplicate names pass: which of them matter is the sinks' business (routing_keys.h).
//
// Externally synchronised. `sink` must outlive the scanner.

#include <absl/status/status.h>

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/chat/string_kernels.h"
#include "server/base/body_sink.h"

namespace tao::chat {

inline constexpr int kMaxBodyDepth = 128;            // open objects and arrays
inline constexpr size_t kMaxBodyKeyBytes = 1024;     // of one name, escapes decoded
inline constexpr size_t kMaxBodyNumberBytes = 1024;  // of one number's text

// In which form OnStringPiece gets string values. Names (OnKey) always come decoded.
enum class StringForm {
  kDecoded,  // as BodySink says
  // As they stand in the body, checked but still escaped: ready to be copied between the quotes of
  // another JSON document. A piece is either plain text without any escape, or exactly one escape
  // sequence (two, for a surrogate pair). Thus a piece never splits a character either. An event
  // for each escape makes this the slower form for text that is full of them.
  kRaw,
};

struct BodyScannerOptions {
  StringForm string_form = StringForm::kDecoded;
  // What error messages call the body; must outlive the scanner.
  std::string_view subject = "request body";
  // Tests ask for others; every one gives the same events.
  const StringKernels* kernels = &BestStringKernels();
};

class BodyScanner {
 public:
  explicit BodyScanner(base::BodySink& sink, BodyScannerOptions options = {});
  BodyScanner(const BodyScanner&) = delete;
  BodyScanner& operator=(const BodyScanner&) = delete;

  // The next bytes, split anywhere. Emits every event that they complete. Long plain text of
  // strings is passed on as pieces of `bytes` itself, without a copy; what has escapes comes
  // decoded, in pieces of up to 4 KiB. Errors: bad_request with the byte offset and what was
  // expected there, after the events of all that stands before it; or the sink's own error as it
  // is. An error is final: every later call returns it again.
  absl::Status Feed(std::string_view bytes);

  // The body has ended. bad_request if the top-level object has not. Call once.
  absl::Status Finish();

  // Bytes read so far.
  uint64_t offset() const { return offset_; }

 private:
  // What the next byte belongs to. Those up to kDone are white space and punctuation.
  enum class State {
    kStart,         // before the top-level {
    kFirstKey,      // after {: a name or }
    kKey,           // after a comma in an object: a name
    kColon,         // after a name
    kValue,         // a value must come
    kFirstElement,  // after [: a value or ]
    kAfterValue,    // a comma, or the end of the container
    kDone,          // after the top-level }
    kString,        // inside a name or a string value
    kEscape,        // inside an escape sequence; held_ has its beginning
    kCharacter,     // inside a multi-byte character; held_ has its beginning
    kNumber,
    kLiteral,
    kFailed,  // error_ says why
  };
  // Where a number's text stands in RFC 8259's grammar.
  enum class NumberState {
    kBegin,
    kMinus,
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kE,
    kESign,
    kExponent
  };

  // Each reads from `at` what belongs to the state and returns where it stopped: at the end of
  // the input, or where state_ says what comes. After an error that is kFailed.
  const char* ReadStructure(const char* at, const char* end);
  const char* ReadString(const char* at, const char* end);
  const char* ReadEscape(const char* at);
  const char* ReadCharacter(const char* at);
  const char* ReadNumber(const char* at, const char* end);
  const char* ReadLiteral(const char* at, const char* end);

  const char* BeginValue(const char* at);
  const char* Open(const char* at);
  const char* Close(const char* at);
  const char* EndNumber(const char* begin, const char* at);
  bool inside_object() const { return depth_ > 0 && is_object_[static_cast<size_t>(depth_ - 1)]; }
  std::string_view Expected() const;
  // False: the sink ended the scan.
  bool Deliver(absl::Status status);
  const char* Refuse(const char* at, std::string_view expected);

  // Strings: body_scanner_text.cc.
  const char* ReadEscapedText(const char* at, const char* end, bool& batch);
  const char* EndString(const char* run, const char* quote);
  const char* RefuseUtf8(const char* at, std::string_view text);
  bool EmitText(const char* at, std::string_view piece);
  bool EmitEscape(const char* at, std::string_view escape);

  base::BodySink& sink_;
  const BodyScannerOptions options_;
  const StringKernels& kernels_;
  absl::Status error_;  // set in the state kFailed, and there alone
  State state_ = State::kStart;
  NumberState number_state_ = NumberState::kMinus;
  bool in_key_ = false;  // the string being read is a name
  int depth_ = 0;
  std::bitset<kMaxBodyDepth> is_object_;  // of each open container
  std::string text_;                      // the name or number being read
  std::string held_;            // the beginning of an escape sequence or of a multi-byte character
  std::string_view literal_;    // true, false or null
  size_t literal_read_ = 0;     // bytes of it that have come
  const char* feed_ = nullptr;  // what offset_ stands for
  uint64_t offset_ = 0;
};

}  // namespace tao::chat
