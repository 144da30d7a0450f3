#include "server/platforms/docker/docker_render.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

std::string Label(std::string_view name, std::string_view value) {
  return absl::StrFormat("%s=%s", name, value);
}

// One field of a CSV record, as Go's encoding/csv reads it.
std::string CsvField(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::vector<std::string> GpuArguments(const DockerRunContext& context) {
  if (context.gpu_ids.empty()) return {};  // --gpus 0 does not mean "none" in all versions
  if (!context.tegra) return {"--gpus", RenderGpus(context.gpu_ids)};
  return {"--runtime=nvidia", "-e", "NVIDIA_VISIBLE_DEVICES=" + absl::StrJoin(context.gpu_ids, ","),
          "-e", "NVIDIA_DRIVER_CAPABILITIES=all"};
}

}  // namespace

std::string RenderMount(const launch::Mount& mount) {
  // Unlike -v, which makes a source that is missing (a typing error) as an empty folder of root.
  return absl::StrFormat("type=bind,%s,%s%s", CsvField("source=" + mount.source),
                         CsvField("target=" + mount.destination),
                         mount.read_only ? ",readonly" : "");
}

std::string RenderGpus(const std::vector<std::string>& ids) {
  // A count would always mean the first ones. Without the quotes the second id is read as a count.
  return CsvField("device=" + absl::StrJoin(ids, ","));
}

std::vector<std::string> RenderRun(const launch::LaunchPlan& plan,
                                   const DockerRunContext& context) {
  // No --rm: a container that ended must tell its exit status and its log. No --restart either.
  std::vector<std::string> arguments = {"run",
                                        "--detach",
                                        "--init",
                                        "--name",
                                        plan.job_id,
                                        "--label",
                                        Label(kJobLabel, plan.job_id),
                                        "--label",
                                        Label(kDaemonLabel, context.daemon_id),
                                        "--shm-size",
                                        plan.shm_size};
  const auto add = [&arguments](std::string name, std::string value) {
    arguments.push_back(std::move(name));
    arguments.push_back(std::move(value));
  };
  if (!context.network.empty()) add("--network", context.network);
  for (const auto& [name, value] : context.labels) add("--label", Label(name, value));
  const bool six = context.publish_address.find(':') != std::string::npos;
  const std::string address = six ? "[" + context.publish_address + "]" : context.publish_address;
  add("--publish", absl::StrFormat("%s:%d:%d", address, context.host_port, kContainerPort));
  for (std::string& argument : GpuArguments(context)) arguments.push_back(std::move(argument));
  for (const auto& [name, value] : plan.env) add("-e", name + "=" + value);
  for (const std::string& name : context.secret_names) add("-e", name);
  for (const launch::Mount& mount : plan.mounts) add("--mount", RenderMount(mount));
  add("--entrypoint", "/bin/bash");  // whatever entry point the image has
  arguments.push_back(plan.image);
  add("-c", plan.inner_command.Render(kContainerPort));
  return arguments;
}

std::vector<std::string> RenderInspect(const std::vector<std::string>& names) {
  std::vector<std::string> arguments = {
      "inspect", "--type", "container", "--format",
      "{\"name\":{{json .Name}},\"status\":{{json .State.Status}},"
      "\"exit_code\":{{json .State.ExitCode}},\"oom_killed\":{{json .State.OOMKilled}},"
      "\"error\":{{json .State.Error}},\"labels\":{{json .Config.Labels}},"
      "\"ports\":{{json .HostConfig.PortBindings}}}"};
  arguments.insert(arguments.end(), names.begin(), names.end());
  return arguments;
}

std::vector<std::string> RenderTakenGpus() {
  return {"ps", "--filter", absl::StrFormat("label=%s", kGpusLabel), "--format",
          absl::StrFormat("{{.Label \"%s\"}}", kGpusLabel)};
}

std::vector<std::string> RenderRuntimes() { return {"info", "--format", "{{json .Runtimes}}"}; }

std::vector<std::string> RenderGpuQuery(const std::string& image) {
  return {"run",
          "--rm",
          "--runtime=nvidia",
          "--gpus",
          "all",
          "--network",
          "none",
          "--entrypoint",
          "nvidia-smi",
          image,
          "--query-gpu=index,uuid,memory.used",
          "--format=csv,noheader,nounits"};
}

std::vector<std::string> RenderFindOurs(std::string_view daemon_id) {
  return {"ps",       "--all",  "--no-trunc", "--filter", "label=" + Label(kDaemonLabel, daemon_id),
          "--format", "{{.ID}}"};
}

std::vector<std::string> RenderNetworkCreate(std::string_view network, std::string_view daemon_id) {
  return {"network", "create", "--label", Label(kDaemonLabel, daemon_id), std::string(network)};
}

std::vector<std::string> RenderNetworkList(std::string_view network) {
  return {"network",
          "ls",
          "--no-trunc",
          "--filter",
          absl::StrFormat("name=%s", network),
          "--format",
          "{{.ID}} {{.Name}}"};
}

std::vector<std::string> RenderNetworkInspect(std::string_view network) {
  return {"network", "inspect", "--format",
          "{\"labels\":{{json .Labels}},\"endpoints\":{{len .Containers}}}", std::string(network)};
}

std::vector<std::string> RenderLogs(const std::string& name, int tail_lines, bool follow) {
  std::vector<std::string> arguments = {"logs", "--tail",
                                        tail_lines < 0 ? "all" : std::to_string(tail_lines)};
  if (follow) arguments.push_back("--follow");
  arguments.push_back(name);
  return arguments;
}

}  // namespace tao::platforms
