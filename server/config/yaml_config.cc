#include "server/config/yaml_config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "server/base/closest_name.h"
#include "server/base/strings.h"

namespace tao::config {
namespace {

CLI::ConfigError Wrong(const YAML::Mark& mark, const std::string& what) {
  return CLI::ConfigError("configuration file, line " + std::to_string(mark.line + 1) + ": " +
                          what);
}

}  // namespace

std::string YamlConfig::to_config(const CLI::App* app, bool defaults, bool descriptions,
                                  std::string prefix) const {
  return CLI::ConfigINI().to_config(app, defaults, descriptions, std::move(prefix));
}

std::vector<CLI::ConfigItem> YamlConfig::from_config(std::istream& input) const {
  std::vector<CLI::ConfigItem> read;
  std::set<std::string> seen;
  try {
    const YAML::Node root = YAML::Load(input);
    if (root.IsNull()) return read;
    if (!root.IsMap())
      throw Wrong(root.Mark(), "expected `key: value` lines, keys as the flags' names");
    for (const auto& member : root) {
      if (!member.first.IsScalar()) throw Wrong(member.first.Mark(), "a key must be a name");
      const std::string& key = member.first.Scalar();
      CLI::ConfigItem item;
      item.name = key;
      // Keys may be written as in C (state_dir) or as the flags are (state-dir).
      std::replace(item.name.begin(), item.name.end(), '_', '-');
      if (std::find(keys_.begin(), keys_.end(), item.name) == keys_.end()) {
        throw Wrong(member.first.Mark(),
                    "there is no key " + base::Quoted(key) + base::DidYouMean(item.name, keys_));
      }
      if (!member.second.IsScalar()) {
        throw Wrong(member.first.Mark(), base::Quoted(key) + " needs one value");
      }
      if (!seen.insert(item.name).second) {
        throw Wrong(member.first.Mark(), base::Quoted(key) + " stands there twice");
      }
      item.inputs = {member.second.Scalar()};
      read.push_back(std::move(item));
    }
  } catch (const YAML::Exception& error) {
    throw Wrong(error.mark, error.msg);
  }
  return read;
}

}  // namespace tao::config
