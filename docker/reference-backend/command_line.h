#pragma once

// The inner commands of the three archs. The name the program is called by (argv[0]) picks the
// arch, so that the very line the launch plan renders runs it, and a wrong line ends with code 2 as
// in the real container. Pure; the caller prints.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "docker/reference-backend/early_exit.h"

namespace tao::reference_backend {

struct CommandLine {
  std::string network_arch;
  std::string job_id;      // empty for cosmos-predict2.5, whose command does not carry it
  std::string model_path;  // what is loaded: a path, an hf_model:// name, or a registered key
  uint16_t port = 8080;
  double idle_timeout_minutes = 30;
  bool auto_deletion = true;  // end after idle_timeout_minutes without a request
  std::string pid_file;       // empty: none is written
};

// `words` is argv with the program's name in front, of which only the last path component counts.
// `reference-backend NAME ARGUMENTS...` is read as `NAME ARGUMENTS...`.
std::variant<CommandLine, EarlyExit> ParseCommandLine(const std::vector<std::string>& words);

}  // namespace tao::reference_backend
