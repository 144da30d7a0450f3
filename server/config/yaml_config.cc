#include "server/config/yaml_config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

namespace tao::config {
namespace {

CLI::ConfigError Wrong(const YAML::Mark& mark, const std::string& what) {
  return CLI::ConfigError("configuration file, line " + std::to_string(mark.line + 1) + ": " + what);
}

}  // namespace

std::string YamlConfig::to_config(const CLI::App* app, bool defaults, bool descriptions,
                                  std::string prefix) const {
  return CLI::ConfigINI().to_config(app, defaults, descriptions, std::move(prefix));
}

std::vector<CLI::ConfigItem> YamlConfig::from_config(std::istream& input) const {
  std::vector<CLI::ConfigItem> read;
  try {
    const YAML::Node root = YAML::Load(input);
    if (root.IsNull()) return read;
    if (!root.IsMap())
      throw Wrong(root.Mark(), "expected `key: value` lines, keys as the flags' names");
    for (const auto& member : root) {
      if (!member.first.IsScalar() || !member.second.IsScalar()) {
        throw Wrong(member.first.Mark(), "expected one value for each key");
      }
      CLI::ConfigItem item;
      item.name = member.first.Scalar();
      // Keys may be written as in C (state_dir) or as the flags are (state-dir).
      std::replace(item.name.begin(), item.name.end(), '_', '-');
      item.inputs = {member.second.Scalar()};
      read.push_back(std::move(item));
    }
  } catch (const YAML::Exception& error) {
    throw Wrong(error.mark, error.msg);
  }
  return read;
}

}  // namespace tao::config
