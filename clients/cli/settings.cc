#include "clients/cli/settings.h"

namespace tao::cli {

CLI::Validator IsSetting(bool required) {
  return CLI::Validator(
      [required](std::string& text) -> std::string {
        const size_t equals = text.find('=');
        if (equals == 0) return "there is no name before the =; write NAME=VALUE";
        if (required && equals == std::string::npos) {
          return "\"" + text +
                 "\" has no value; write NAME=VALUE (secrets are set in the daemon's environment)";
        }
        return "";
      },
      required ? "NAME=VALUE" : "NAME[=VALUE]");
}

std::optional<std::string> AddSettings(const std::vector<std::string>& items,
                                       google::protobuf::Map<std::string, std::string>& settings) {
  for (const std::string& item : items) {
    const size_t equals = item.find('=');
    const std::string name = item.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : item.substr(equals + 1);
    if (!settings.insert({name, value}).second) return name;
  }
  return std::nullopt;
}

}  // namespace tao::cli
