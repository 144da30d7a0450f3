#pragma once

// NAME=VALUE flags (--env, --arch-option, --platform-option).

#include <google/protobuf/map.h>
#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

namespace tao::cli {

// Refuses NAME=VALUE without a name; without `=` when a value is `required`. A value is not
// repeated in the message: someone may have written a secret there.
CLI::Validator IsSetting(bool required);

// Puts `items` into `settings`; the name that was given twice, if one was.
std::optional<std::string> AddSettings(const std::vector<std::string>& items,
                                       google::protobuf::Map<std::string, std::string>& settings);

}  // namespace tao::cli
