#pragma once

// Reads the --config file for CLI11: a flat YAML mapping whose keys are the flags' names.

#include <CLI/CLI.hpp>

#include <istream>
#include <string>
#include <vector>

namespace tao::config {

class YamlConfig : public CLI::Config {
 public:
  std::string to_config(const CLI::App* app, bool defaults, bool descriptions,
                        std::string prefix) const override;
  // Throws CLI::ParseError, as CLI11 wants it, with the line of what is wrong.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;
};

}  // namespace tao::config
