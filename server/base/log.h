#pragma once

// The process's log: one line an event, to stderr, as text or as JSON lines. Known secrets in
// the fields are redacted (secret.h). Thread-safe. A function that returns an absl::Status does not
// log it: the edge that handles it does, once.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace tao::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// Call before the first thread starts. The default is kInfo as kText.
void ConfigureLog(LogLevel lowest, LogFormat format);

// Whether a line of this level would be written: ask before collecting fields on a busy path.
bool LogEnabled(LogLevel level);

using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

// Log(LogLevel::kInfo, "lifecycle", "service is ready", {{"job_id", job_id}});
// `component` is the folder; `message` is a constant text, so that lines can be grouped by it.
void Log(LogLevel level, std::string_view component, std::string_view message,
         LogFields fields = {});

}  // namespace tao::base
