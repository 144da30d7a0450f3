#pragma once

// The process's log: one line an event, to stderr, as text or as JSON lines. Known secrets in
// the fields are redacted (secret.h). Thread-safe. A function that returns an absl::Status does not
// log it: the edge that handles it does, once.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace tao::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// Call before the first thread starts. The default is kInfo as kText.
void ConfigureLog(LogLevel lowest, LogFormat format);

// Whether a line of this level would be written: ask before collecting fields on a busy path.
bool LogEnabled(LogLevel level);

// The value of a field. Numbers are numbers in JSON lines. Implicit, so that fields read as a list.
class LogValue {
 public:
  LogValue(std::string text) : value_(std::move(text)) {}
  LogValue(const char* text) : value_(std::string(text)) {}
  LogValue(double number) : value_(number) {}
  template <std::signed_integral Number>
  LogValue(Number number) : value_(int64_t{number}) {}
  template <std::unsigned_integral Number>
  LogValue(Number number) : value_(uint64_t{number}) {}

  const std::variant<std::string, int64_t, uint64_t, double>& value() const { return value_; }

 private:
  std::variant<std::string, int64_t, uint64_t, double> value_;
};

using LogFields = std::initializer_list<std::pair<std::string_view, LogValue>>;

// Log(LogLevel::kInfo, "lifecycle", "service is ready", {{"job_id", job_id}});
// `component` is the folder; `message` is a constant text, so that lines can be grouped by it.
void Log(LogLevel level, std::string_view component, std::string_view message,
         LogFields fields = {});

}  // namespace tao::base
