#include "server/platforms/local_process/parent/options.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace tao::process_parent {
namespace {

bool ParseNumber(std::string_view text, int64_t lowest, int64_t highest, int64_t& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end && number >= lowest && number <= highest;
}

bool IsId(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  });
}

// False: not a name of ours, or a value that is wrong for it.
bool SetOption(std::string_view name, std::string_view value, Options& options) {
  int64_t number = 0;
  if (name == "--folder") {
    options.folder = value;
    return value.starts_with('/');
  }
  if (name == "--job-id") {
    options.job_id = value;
    return IsId(value);
  }
  if (name == "--daemon-id") {
    options.daemon_id = value;
    return IsId(value);
  }
  if (name == "--secret") {
    options.secret_names.emplace_back(value);
    return !value.empty();
  }
  if (name == "--port") {
    if (!ParseNumber(value, 1, 65535, number)) return false;
    options.port = static_cast<int>(number);
    return true;
  }
  if (name == "--grace-ms") {
    if (!ParseNumber(value, 0, 24 * 3600 * 1000, number)) return false;
    options.grace_ms = static_cast<int>(number);
    return true;
  }
  return name == "--max-log-bytes" &&
         ParseNumber(value, 1, int64_t{1} << 40, options.max_log_bytes);
}

}  // namespace

std::optional<Options> ParseOptions(int argc, const char* const* argv, std::string& error) {
  Options options;
  int next = 1;
  while (next < argc && std::string_view(argv[next]) != "--") {
    if (next + 1 == argc || !SetOption(argv[next], argv[next + 1], options)) {
      error = "cannot understand " + std::string(argv[next]) +
              (next + 1 == argc ? "" : " " + std::string(argv[next + 1]));
      return std::nullopt;
    }
    next += 2;
  }
  for (++next; next < argc; ++next) options.command.emplace_back(argv[next]);
  if (options.folder.empty() || options.job_id.empty() || options.daemon_id.empty() ||
      options.port == 0 || options.command.empty()) {
    error = "--folder, --job-id, --daemon-id, --port and a command after -- are needed";
    return std::nullopt;
  }
  return options;
}

}  // namespace tao::process_parent
