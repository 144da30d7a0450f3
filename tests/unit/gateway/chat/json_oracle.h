#pragma once

// nlohmann/json's opinion of a body, in the words of EventTrace: what the scanner is compared with,
// by the differential test and by the fuzzer.

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gateway/chat/body_scanner.h"
#include "tests/unit/gateway/chat/event_trace.h"

namespace tao::chat {

// A number as two parsers can be compared by: its value.
inline std::string NumberValue(double number) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.17g", number + 0.0);  // + 0.0: no negative zero
  return text;
}

struct OracleVerdict {
  bool valid = false;
  std::string events;
  // Not a matter of the grammar: nlohmann refuses numbers that a double cannot hold.
  bool number_overflow = false;
};

class Oracle : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return trace_.OnNull().ok(); }
  bool boolean(bool value) override { return trace_.OnBool(value).ok(); }
  bool number_integer(number_integer_t value) override {
    return Number(static_cast<double>(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Number(static_cast<double>(value));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    within_limits_ = within_limits_ && text.size() <= kMaxBodyNumberBytes;
    return Number(value);
  }
  bool string(string_t& value) override { return trace_.OnStringPiece(value, true).ok(); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Deeper() && trace_.OnObjectBegin().ok(); }
  bool key(string_t& value) override {
    within_limits_ = within_limits_ && value.size() <= kMaxBodyKeyBytes;
    return trace_.OnKey(value).ok();
  }
  bool end_object() override { return --depth_ >= 0 && trace_.OnObjectEnd().ok(); }
  bool start_array(std::size_t) override { return Deeper() && trace_.OnArrayBegin().ok(); }
  bool end_array() override { return --depth_ >= 0 && trace_.OnArrayEnd().ok(); }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::json::exception& error) override {
    number_overflow_ = error.id == 406;
    return false;
  }

  OracleVerdict Judge(const std::string& body) {
    const bool grammatical = nlohmann::json::sax_parse(body, this);
    // nlohmann takes any value, skips a byte order mark and ends at a NUL; the scanner does not.
    const bool object = trace_.text().substr(0, 1) == "{";
    const bool valid = grammatical && object && within_limits_ &&
                       body.compare(0, 3, "\xef\xbb\xbf") != 0 &&
                       body.find('\0') == std::string::npos;
    return {valid, trace_.text(), number_overflow_};
  }

 private:
  bool Deeper() {
    ++depth_;
    within_limits_ = within_limits_ && depth_ <= kMaxBodyDepth;
    return true;
  }
  bool Number(double value) { return trace_.OnNumber(NumberValue(value)).ok(); }

  EventTrace trace_;
  int depth_ = 0;
  bool within_limits_ = true;
  bool number_overflow_ = false;
};

inline OracleVerdict AskOracle(const std::string& body) { return Oracle().Judge(body); }

// EventTrace, but for numbers.
class ValueTrace : public EventTrace {
 public:
  absl::Status OnNumber(std::string_view text) override {
    return EventTrace::OnNumber(NumberValue(std::strtod(std::string(text).c_str(), nullptr)));
  }
};

struct ScannerVerdict {
  bool valid = false;
  std::string events;
};

// `cuts` are ascending offsets into `body`.
inline ScannerVerdict AskScanner(std::string_view body, const std::vector<size_t>& cuts,
                                 const StringKernels& kernels = BestStringKernels()) {
  ValueTrace trace;
  BodyScanner scanner(trace, {.kernels = &kernels});
  absl::Status status;
  size_t from = 0;
  for (size_t i = 0; i <= cuts.size() && status.ok(); ++i) {
    const size_t to = i < cuts.size() ? cuts[i] : body.size();
    status = scanner.Feed(body.substr(from, to - from));
    from = to;
  }
  if (status.ok()) status = scanner.Finish();
  return {status.ok(), trace.text()};
}

}  // namespace tao::chat
