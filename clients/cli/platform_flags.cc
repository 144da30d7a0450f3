#include "clients/cli/platform_flags.h"

#include <absl/strings/str_format.h>

#include <map>
#include <optional>
#include <set>

#include "clients/cli/commands.h"
#include "clients/cli/settings.h"
#include "clients/cli/terminal_text.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/base/closest_name.h"

namespace tao::cli {
namespace {

const std::map<std::string, pb::GpuMode>& GpuModes() {
  static const auto& modes = *new std::map<std::string, pb::GpuMode>{
      {"auto", pb::GPU_MODE_AUTO},
      {"device", pb::GPU_MODE_DEVICE},
      {"tegra", pb::GPU_MODE_TEGRA},
      {"none", pb::GPU_MODE_NONE},
  };
  return modes;
}

// The long names of the flags that `parser` and its parents have.
std::vector<std::string> FlagNames(const CLI::App& parser) {
  std::vector<std::string> names;
  for (const CLI::App* app = &parser; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

// Flags fall through to the program's own when a command does not know them, and end up there.
std::vector<std::string> UnknownWords(const CLI::App& parser) {
  const CLI::App* app = &parser;
  while (app->get_parent() != nullptr) app = app->get_parent();
  return app->remaining(/*recurse=*/true);
}

// `--NAME=VALUE`, `--NAME VALUE`, or `--NAME` alone for "true", as settings. nullopt when something
// else stands there, which is said.
std::optional<std::vector<std::string>> UnknownFlags(const CLI::App& parser) {
  std::vector<std::string> settings;
  const std::vector<std::string> words = UnknownWords(parser);
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::string flag = word.substr(0, word.find('='));
    if (!word.starts_with("--") || flag.size() == 2) {
      PrintErr(absl::StrFormat("tao-inference: %s stands alone; flags begin with --\n", word));
      return std::nullopt;
    }
    std::string setting = word.substr(2);
    if (setting.find('=') == std::string::npos) {
      const bool has_value = i + 1 < words.size() && !words[i + 1].starts_with("--");
      setting += "=" + (has_value ? words[++i] : "true");
    }
    settings.push_back(std::move(setting));
  }
  return settings;
}

// The fields that the daemon finds fault with.
std::set<std::string> WrongFields(const grpc::Status& status) {
  std::set<std::string> fields;
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return fields;
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::BadRequest bad;
    if (!detail.UnpackTo(&bad)) continue;
    for (const auto& violation : bad.field_violations()) fields.insert(violation.field());
  }
  return fields;
}

template <typename Request>
bool Fill(const PlatformFlags& flags, Request& request) {
  std::optional<std::vector<std::string>> settings = UnknownFlags(*flags.parser);
  if (!settings.has_value()) return false;
  settings->insert(settings->end(), flags.options.begin(), flags.options.end());
  if (const auto twice = AddSettings(*settings, *request.mutable_platform_options())) {
    PrintErr(
        absl::StrFormat("tao-inference: platform option %s is given twice; leave one\n", *twice));
    return false;
  }
  request.set_platform(flags.platform);
  if (!flags.gpu_mode.empty()) request.set_gpu_mode(GpuModes().at(flags.gpu_mode));
  request.set_gpu_count(flags.gpu_count);
  for (const std::string& id : flags.gpu_ids) request.add_gpu_ids(id);
  return true;
}

}  // namespace

void AddPlatformFlags(CLI::App& parser, PlatformFlags& flags) {
  flags.parser = &parser;
  parser.add_option("--platform", flags.platform, "Where it runs, e.g. local-docker");
  parser
      .add_option("--platform-option", flags.options,
                  "Option of the platform (docs/platforms.md); repeatable. --NAME VALUE does the "
                  "same for every NAME that is no flag of this command")
      ->take_all()
      ->allow_extra_args(false)
      ->check(IsSetting(/*required=*/true));
  std::vector<std::string> modes;
  for (const auto& [name, mode] : GpuModes()) modes.push_back(name);
  parser.add_option("--gpu-mode", flags.gpu_mode, "auto, device, tegra or none")
      ->check(CLI::IsMember(modes));
  parser.add_option("--gpu-count", flags.gpu_count, "GPUs wanted (default: 1)")
      ->check(CLI::NonNegativeNumber);
  parser.add_option("--gpu-id", flags.gpu_ids, "Index or UUID of a GPU to use; repeatable")
      ->take_all()
      ->allow_extra_args(false);
}

bool FillPlatform(const PlatformFlags& flags, pb::StartRequest& request) {
  return Fill(flags, request);
}

bool FillPlatform(const PlatformFlags& flags, pb::CheckPlatformRequest& request) {
  return Fill(flags, request);
}

std::string MisspeltFlags(const PlatformFlags& flags, const grpc::Status& status) {
  const std::set<std::string> wrong = WrongFields(status);
  std::string lines;
  for (const std::string& word : UnknownWords(*flags.parser)) {
    if (!word.starts_with("--")) continue;  // the value of the flag before it
    const std::string flag = word.substr(0, word.find('='));
    // Without its platform nobody can say whether there is such an option.
    if (!wrong.contains("platform_options." + flag.substr(2)) && !wrong.contains("platform")) {
      continue;
    }
    const std::string meant = base::ClosestName(flag, FlagNames(*flags.parser));
    if (meant.empty()) continue;
    lines += absl::StrFormat("tao-inference: there is no flag %s; did you mean %s?\n",
                             OneLine(flag), meant);
  }
  return lines;
}

}  // namespace tao::cli
