#include "server/platforms/brev/brev_render.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <initializer_list>

#include "server/base/shell_quote.h"
#include "server/base/strings.h"
#include "server/platforms/docker/docker_render.h"

namespace tao::platforms {
namespace {

// The first of `spellings` that this brev has; versions differ.
absl::StatusOr<std::string> FlagOf(std::initializer_list<const char*> spellings,
                                   const std::set<std::string>& flags,
                                   std::string_view wanted_for) {
  for (const char* spelling : spellings) {
    if (flags.contains(spelling)) return std::string(spelling);
  }
  return absl::FailedPreconditionError(absl::StrFormat(
      "brev create has no flag %s here, which %s needs. See brev --version and brev "
      "create --help; leave the option out, or install a brev that has the flag",
      *spellings.begin(), wanted_for));
}

std::string LoginFolder(const std::string& job_id) {
  return "\"$HOME\"/" + base::ShellQuote(".tao-inference-" + job_id);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> RenderCreate(const BrevCreate& create,
                                                      const std::set<std::string>& flags) {
  std::vector<std::string> arguments = {"create", create.name};
  const absl::StatusOr<std::string> type = FlagOf({"--type"}, flags, "making an instance");
  if (!type.ok()) return type.status();
  arguments.insert(arguments.end(), {*type, create.types});
  if (!create.workspace_group.empty()) {
    const auto flag =
        FlagOf({"--workspace-group-id", "--workspace-group"}, flags, "the option workspace-group");
    if (!flag.ok()) return flag.status();
    arguments.insert(arguments.end(), {*flag, create.workspace_group});
  }
  if (!create.cloud_credential.empty()) {
    const auto flag = FlagOf({"--cloud-cred-id", "--cloud-credential-id", "--cloud-cred"}, flags,
                             "the option cloud-credential");
    if (!flag.ok()) return flag.status();
    arguments.insert(arguments.end(), {*flag, create.cloud_credential});
  }
  // It is watched by brev ls, which can be cancelled and starts again after a crash.
  if (flags.contains("--detached")) arguments.emplace_back("--detached");
  return arguments;
}

io::SshTarget InstanceTarget(const std::string& name, const std::string& config_file) {
  io::SshTarget target;
  target.host = name;
  target.config_file = config_file;
  target.strict_host_keys = false;  // an instance is new each time; brev's file says so too
  target.options = {"ControlMaster=no", "ControlPath=none", "ForwardAgent=no", "LogLevel=ERROR"};
  return target;
}

std::string DockerCommand(const std::vector<std::string>& arguments) {
  std::string command = "docker";
  for (const std::string& argument : arguments) command += " " + base::ShellQuote(argument);
  return command;
}

std::string InspectOursCommand(std::string_view daemon_id) {
  return absl::StrFormat("ids=$(%s) || exit; [ -z \"$ids\" ] || exec %s $ids",
                         DockerCommand(RenderFindOurs(daemon_id)),
                         DockerCommand(RenderInspect({})));
}

std::string RunCommand(const std::vector<std::string>& run_arguments) {
  return "while IFS= read -r line && [ -n \"$line\" ]; do export \"$line\"; done; exec " +
         DockerCommand(run_arguments) + " </dev/null";
}

absl::StatusOr<std::string> RenderPreamble(const std::map<std::string, base::Secret>& secrets) {
  std::string lines;
  for (const auto& [name, value] : secrets) {
    if (value.Reveal().find_first_of("\n\r") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the value of %s in the server's environment has a line end in it, and cannot be handed "
          "to an instance. Export it without one, and start the server again",
          name));
    }
    lines += name + "=" + value.Reveal() + "\n";
  }
  return lines + "\n";
}

std::string PullCommand(const std::string& image, bool login, const std::string& job_id) {
  if (!login) return DockerCommand({"pull", image});
  // Docker's warning that the key lies in a file is not a word of a failure: the file goes at once.
  return absl::StrFormat(
      "umask 077; d=%s; mkdir -p \"$d\"; "
      "docker --config \"$d\" login %s -u '$oauthtoken' --password-stdin >/dev/null 2>\"$d/said\"; "
      "c=$?; if [ $c -ne 0 ]; then cat \"$d/said\" >&2; "
      "else docker --config \"$d\" pull %s </dev/null; c=$?; fi; "
      "docker --config \"$d\" logout %s >/dev/null 2>&1; rm -rf \"$d\"; exit $c",
      LoginFolder(job_id), kNgcRegistry, base::ShellQuote(image), kNgcRegistry);
}

std::string LogoutCommand(const std::string& job_id) {
  return absl::StrFormat(
      "d=%s; if [ -d \"$d\" ]; then docker --config \"$d\" logout %s >/dev/null 2>&1; rm -rf "
      "\"$d\"; "
      "fi",
      LoginFolder(job_id), kNgcRegistry);
}

}  // namespace tao::platforms
