#include "server/platforms/local_process/local_process_render.h"

#include <algorithm>

#include "server/base/secret.h"

namespace tao::platforms {
namespace {

constexpr std::string_view kDefaultPath = "/usr/local/bin:/usr/bin:/bin";
constexpr std::string_view kUmask = "umask 0 && ";  // how every inner command begins

// `folders` with each part absolute, and a colon after each.
std::string AbsoluteParts(std::string_view folders, std::string_view working_folder) {
  std::string parts;
  while (!folders.empty()) {
    const size_t colon = folders.find(':');
    const std::string_view part = folders.substr(0, colon);
    folders.remove_prefix(colon == std::string_view::npos ? folders.size() : colon + 1);
    if (part.empty()) continue;
    if (part.front() != '/') parts.append(working_folder).append("/");
    parts.append(part).append(":");
  }
  return parts;
}

// Whether the shell takes `c` as it is, wherever it stands in a word.
bool IsPlain(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("_-./+,:@%").find(c) != std::string_view::npos;
}

}  // namespace

std::string PathOf(std::string_view prefix, const std::optional<std::string>& path,
                   std::string_view working_folder) {
  const std::string_view inherited =
      path.has_value() && !path->empty() ? std::string_view(*path) : kDefaultPath;
  std::string all =
      AbsoluteParts(prefix, working_folder) + AbsoluteParts(inherited, working_folder);
  all.pop_back();
  return all;
}

io::SubprocessOptions RenderParent(const launch::LaunchPlan& plan,
                                   const LocalProcessContext& context) {
  io::SubprocessOptions options;
  options.argv = {context.parent_program,
                  "--folder",
                  context.job_folder,
                  "--job-id",
                  plan.job_id,
                  "--daemon-id",
                  context.daemon_id,
                  "--port",
                  std::to_string(context.port),
                  "--max-log-bytes",
                  std::to_string(context.max_log_bytes)};
  options.inherit_env = false;
  options.env = {plan.env.begin(), plan.env.end()};
  options.env["PATH"] = context.path;
  for (const char* name : {"HOME", "LANG"}) {
    const std::optional<std::string> value = context.environment(name);
    if (value.has_value()) options.env.emplace(name, *value);  // the plan's own stays
  }
  for (const std::string& name : plan.secret_names) {
    const std::optional<std::string> value = context.environment(name);
    if (!value.has_value()) continue;
    options.secret_env.emplace(name, base::Secret(*value));
    options.argv.insert(options.argv.end(), {"--secret", name});
  }
  options.argv.insert(options.argv.end(),
                      {"--", "/bin/bash", "-c", plan.inner_command.Render(context.port)});
  if (!context.gpu_ids.empty()) {
    std::string ids;
    for (const std::string& id : context.gpu_ids) ids += (ids.empty() ? "" : ",") + id;
    options.env["CUDA_VISIBLE_DEVICES"] = ids;
    options.env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";  // CUDA's own order is fastest first
  }
  return options;
}

std::optional<std::string> ProgramOf(const launch::InnerCommand& command) {
  const std::string line = command.Render(/*port=*/1);
  if (!line.starts_with(kUmask)) return std::nullopt;
  const std::string_view rest = std::string_view(line).substr(kUmask.size());
  const std::string_view word = rest.substr(0, rest.find(' '));
  if (word.empty() || !std::all_of(word.begin(), word.end(), IsPlain)) return std::nullopt;
  return std::string(word);
}

}  // namespace tao::platforms
