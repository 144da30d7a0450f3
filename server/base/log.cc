#include "server/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "server/base/secret.h"

namespace tao::base {
namespace {

std::atomic<LogFormat> log_format = LogFormat::kText;

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// The time and level are spdlog's; the rest of the line is made here, so that both formats carry
// the same fields.
spdlog::logger& Logger() {
  static auto* const logger = [] {
    auto* const made = new spdlog::logger("tao", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %L %v", spdlog::pattern_time_type::utc);
    return made;
  }();
  return *logger;
}

// Values are redacted before they are quoted: a secret with a quote in it is another text after.
std::string TextLine(std::string_view component, std::string_view message, LogFields fields) {
  std::string line(component);
  line.append(": ").append(message);
  for (const auto& [name, raw] : fields) {
    const std::string value = Redact(raw);
    const bool plain = value.find_first_of(" \"\n") == std::string::npos && !value.empty();
    line.append(" ").append(name).append("=");
    line.append(plain ? value
                      : nlohmann::json(value).dump(-1, ' ', false,
                                                   nlohmann::json::error_handler_t::replace));
  }
  return line;
}

std::string JsonMembers(std::string_view component, std::string_view message, LogFields fields) {
  nlohmann::ordered_json members;
  members["component"] = component;
  members["message"] = message;
  for (const auto& [name, value] : fields) members[std::string(name)] = Redact(value);
  return members.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(1);
}

}  // namespace

void ConfigureLog(LogLevel lowest, LogFormat format) {
  log_format = format;
  Logger().set_level(ToSpdlog(lowest));
  if (format == LogFormat::kJson) {
    Logger().set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v)",
                         spdlog::pattern_time_type::utc);
  }
}

bool LogEnabled(LogLevel level) { return Logger().should_log(ToSpdlog(level)); }

void Log(LogLevel level, std::string_view component, std::string_view message, LogFields fields) {
  if (!LogEnabled(level)) return;
  const std::string line = log_format == LogFormat::kJson ? JsonMembers(component, message, fields)
                                                          : TextLine(component, message, fields);
  Logger().log(ToSpdlog(level), line);
}

}  // namespace tao::base
