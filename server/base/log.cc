#include "server/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <type_traits>

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

// Texts are redacted before they are quoted: a secret with a quote in it is another text after.
nlohmann::ordered_json ToJson(const LogValue& field) {
  return std::visit(
      [](const auto& value) -> nlohmann::ordered_json {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
          return Redact(value);
        } else {
          return value;
        }
      },
      field.value());
}

std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string TextLine(std::string_view component, std::string_view message, LogFields fields) {
  std::string line(component);
  line.append(": ").append(message);
  for (const auto& [name, field] : fields) {
    const nlohmann::ordered_json value = ToJson(field);
    const auto* const text = value.get_ptr<const std::string*>();
    const bool plain =
        text != nullptr && !text->empty() && text->find_first_of(" \"\n") == std::string::npos;
    line.append(" ").append(name).append("=").append(plain ? *text : Dump(value));
  }
  return line;
}

std::string JsonMembers(std::string_view component, std::string_view message, LogFields fields) {
  nlohmann::ordered_json members;
  members["component"] = component;
  members["message"] = message;
  for (const auto& [name, value] : fields) members[std::string(name)] = ToJson(value);
  return Dump(members).substr(1);
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
