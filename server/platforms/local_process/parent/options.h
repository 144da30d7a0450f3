#pragma once

// The command line of tao-process-parent.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tao::process_parent {

struct Options {
  std::string folder;     // --folder: of the job; must exist
  std::string job_id;     // --job-id, letters, digits and dashes: it is printed into JSON as it is
  std::string daemon_id;  // --daemon-id, the same
  int port = 0;           // --port, 1 to 65535
  int grace_ms = 20'000;  // --grace-ms: between SIGTERM and SIGKILL
  int64_t max_log_bytes = int64_t{32} << 20;  // --max-log-bytes, of each of the two files
  std::vector<std::string> secret_names;      // --secret NAME, of the environment; repeatable
  std::vector<std::string> command;           // after "--"; the first is the path of a program
};

// nullopt, with the reason in `error`, for anything that is not understood whole.
std::optional<Options> ParseOptions(int argc, const char* const* argv, std::string& error);

}  // namespace tao::process_parent
