#pragma once

// Times on the command line: "90s", "10m", "1h30m", or a number of seconds.

#include <absl/time/time.h>
#include <google/protobuf/duration.pb.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

namespace tao::cli {

// nullopt: not a time, negative, or without end.
std::optional<absl::Duration> ParseSeconds(const std::string& text);

// Refuses, when the command line is parsed, what ParseSeconds does.
CLI::Validator IsSeconds();

// Of a text that IsSeconds has passed.
google::protobuf::Duration ToProtoDuration(const std::string& text);

}  // namespace tao::cli
