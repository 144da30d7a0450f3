#pragma once

// Reads the --config file for CLI11: a flat YAML mapping whose keys are the flags' names.

#include <CLI/CLI.hpp>

#include <istream>
#include <string>
#include <utility>
#include <vector>

namespace tao::config {

class YamlConfig : public CLI::Config {
 public:
  // `keys`: those there are, as the flags are written.
  explicit YamlConfig(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  std::string to_config(const CLI::App* app, bool defaults, bool descriptions,
                        std::string prefix) const override;
  // Throws CLI::ParseError, as CLI11 wants it, with the line of what is wrong. An unknown key's
  // value is not shown: it may be a secret that somebody put there.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

 private:
  const std::vector<std::string> keys_;
};

}  // namespace tao::config
