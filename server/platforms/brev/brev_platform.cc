#include "server/platforms/brev/brev_platform.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <utility>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/docker/docker_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(45);  // brev ls, refresh; ssh's questions

std::optional<std::string> RealEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

BrevConfig Complete(BrevConfig config) {
  if (!config.environment) config.environment = &RealEnvironment;
  return config;
}

// brev goes by $HOME, and ssh by the user's entry: so ssh is told the file.
std::string SshConfigPath(const BrevConfig& config) {
  std::string home = config.environment("HOME").value_or("");
  if (home.empty()) {
    if (const passwd* const user = getpwuid(getuid()); user != nullptr) home = user->pw_dir;
  }
  return home + "/.brev/ssh_config";
}

// An answer that did not come is never an answer.
absl::Status CouldNotAsk(const absl::Status& status) {
  return absl::UnavailableError(std::string(base::ToStd(status.message())));
}

constexpr size_t kLongestName = 63;
bool IsInstanceName(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName &&
         std::isalnum(static_cast<unsigned char>(text[0])) != 0 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
         });
}

// A word that brev cannot take for a flag.
bool IsWord(std::string_view text) {
  return !text.empty() && text[0] != '-' &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isgraph(c) != 0; });
}

}  // namespace

BrevPlatform::BrevPlatform(BrevConfig config)
    : config_(Complete(std::move(config))),
      ssh_config_(SshConfigPath(config_)),
      cli_(config_.brev_program, config_.secret_names),
      instances_(
          "brev ls",
          [this](const base::CancelToken& cancel) {
            return cli_.List(config_.look_limit, &cancel);
          },
          config_.looks) {}

const PlatformTraits& BrevPlatform::traits() const {
  static constexpr PlatformOption kOptions[] = {
      {"instance-id",
       "id or name of an instance to use (default: one is made, and deleted by stop)"},
      {"instance-type",
       "type of the instance that is made (default: the cheapest with enough GPUs)"},
      {"workspace-group", "workspace group of the instance that is made (default: brev's)"},
      {"cloud-credential", "cloud credential of the instance that is made (default: brev's)"},
      {"publish-address",
       "where the instance publishes the port: 127.0.0.1, reached by a tunnel (default), or "
       "0.0.0.0"},
      {"network", "docker network of the instance to join; it must exist (default: docker's own)"},
  };
  static constexpr PlatformTraits kTraits = {.name = "brev",
                                             .execution_backend = "local-docker",
                                             .own_network = true,
                                             .host_filesystem = false,
                                             .host_port = HostPort::kForwarded,
                                             .options = kOptions};
  return kTraits;
}

absl::Status BrevPlatform::CheckOptions(const std::map<std::string, std::string>& options) const {
  std::vector<base::FieldViolation> violations;
  const auto refuse = [&violations](const std::string& name, std::string description) {
    violations.push_back({"platform_options." + name, std::move(description)});
  };
  const bool reuse = options.contains("instance-id");
  for (const auto& [name, value] : options) {
    const std::string quoted = base::Quoted(value);
    if ((name == "instance-id" || name == "network") && !IsInstanceName(value)) {
      refuse(name, absl::StrFormat("%s cannot be one: at most 63 letters, digits, dots, dashes and "
                                   "underscores, the first a letter or a digit",
                                   quoted));
    }
    if (name == "publish-address" && value != "127.0.0.1" && value != "0.0.0.0") {
      refuse(name, absl::StrFormat("%s is neither 127.0.0.1 nor 0.0.0.0", quoted));
    }
    if (name != "instance-type" && name != "workspace-group" && name != "cloud-credential")
      continue;
    if (!IsWord(value)) refuse(name, absl::StrFormat("%s is not a word", quoted));
    if (reuse)
      refuse(name, "is of an instance that is made, and instance-id names one that there is");
  }
  if (violations.empty()) return absl::OkStatus();
  std::vector<std::string> texts;
  for (const auto& each : violations) texts.push_back(each.field + " " + each.description);
  return base::WithDetails(absl::InvalidArgumentError(absl::StrJoin(texts, "; ")),
                           {.violations = violations});
}

absl::StatusOr<std::vector<std::string>> BrevPlatform::GpuIds(const launch::GpuRequest&) {
  return std::vector<std::string>();
}

BrevInstanceShell BrevPlatform::ShellOf(const std::string& instance_name) const {
  io::SshTarget target = InstanceTarget(instance_name, ssh_config_);
  target.program = config_.ssh_program;
  target.unset_env = config_.secret_names;
  return BrevInstanceShell(std::move(target));
}

absl::StatusOr<std::optional<SshAlias>> BrevPlatform::AliasOf(
    const std::string& instance_name, absl::Duration timeout,
    const base::CancelToken* cancel) const {
  io::SubprocessOptions options;
  options.argv = {config_.ssh_program, "-G", "-F", ssh_config_, "--", instance_name};
  options.unset_env = config_.secret_names;
  options.timeout = timeout;
  options.cancel = cancel;
  const absl::StatusOr<io::SubprocessResult> result = io::RunSubprocess(options);
  if (!result.ok()) return InstanceSshError(instance_name, result.status());
  if (result->exit_code == 0) return ParseSshAlias(result->out, instance_name);
  return absl::FailedPreconditionError(
      absl::StrFormat("ssh cannot read the configuration that brev writes: %s. Run brev refresh as "
                      "the user of the server, with its HOME",
                      base::Quoted(result->err, 300)));
}

bool BrevPlatform::IsOurs(const ContainerFacts& facts, const std::string& job_id,
                          bool foreign) const {
  if (foreign) return true;
  const auto is = [&facts](std::string_view label, const std::string& value) {
    const auto found = facts.labels.find(std::string(label));
    return found != facts.labels.end() && found->second == value;
  };
  return is(kJobLabel, job_id) && is(kDaemonLabel, config_.daemon_id);
}

absl::StatusOr<std::optional<BrevInstance>> BrevPlatform::InstanceOf(
    const BrevState& state, const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const std::vector<BrevInstance> all, cli_.List(kAskTimeout, cancel));
  return FindInstance(all, state.instance_id.empty() ? state.instance_name : state.instance_id);
}

absl::StatusOr<std::optional<ContainerFacts>> BrevPlatform::InspectOn(
    const BrevInstanceShell& shell, const std::string& job_id,
    const base::CancelToken* cancel) const {
  absl::StatusOr<std::optional<ContainerFacts>> found = shell.Inspect(job_id, cancel);
  if (found.ok()) return found;
  // ssh's configuration may be older than the instance, or than its address, which changes when it
  // is started again.
  if (!cli_.Refresh(kAskTimeout, cancel).ok()) return found;
  return shell.Inspect(job_id, cancel);
}

absl::Status BrevPlatform::StreamLogs(const PlatformJob& job, const LogOptions& options,
                                      LogSink& sink, const base::CancelToken& cancel) {
  const BrevState state = ToBrevState(job.driver_state);
  ASSIGN_OR_RETURN(const std::optional<BrevInstance> instance, InstanceOf(state, &cancel));
  if (!instance.has_value()) {
    return absl::NotFoundError(absl::StrFormat(
        "brev does not list instance %s of service %s, and the logs are on it; see brev ls",
        base::Quoted(state.instance_name), job.job_id));
  }
  if (UseOf(*instance) != InstanceUse::kUsable) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the logs of service %s are on instance %s, which is %s. It is not started for them, since "
        "that costs money: brev start %s",
        job.job_id, base::Quoted(instance->name), Describe(*instance), instance->name));
  }
  const BrevInstanceShell shell = ShellOf(instance->name);
  ASSIGN_OR_RETURN(const std::optional<ContainerFacts> found,
                   InspectOn(shell, job.job_id, &cancel));
  if (!found.has_value() || !IsOurs(*found, job.job_id, state.foreign)) {
    return absl::NotFoundError(
        absl::StrFormat("service %s has no container on instance %s, so there are no logs of it",
                        job.job_id, base::Quoted(instance->name)));
  }
  bool reader_left = false;
  io::SshCommand logs;
  logs.command =
      DockerCommand(RenderLogs(job.job_id, options.tail_lines, options.follow)) + " 2>&1";
  logs.timeout = options.follow ? absl::InfiniteDuration() : options.timeout + kAskTimeout;
  logs.max_output_bytes = 16 << 10;  // the sink has it; this is for the words of a failure
  logs.cancel = &cancel;
  logs.on_line = [&sink, &reader_left](bool is_stderr, std::string_view line) {
    if (is_stderr) return true;  // ssh's
    reader_left = !sink.OnLine(line);
    return !reader_left;
  };
  const absl::StatusOr<io::SubprocessResult> result = shell.Run(logs);
  if (reader_left) return absl::OkStatus();
  RETURN_IF_ERROR(result.status());
  if (result->exit_code == 0) return absl::OkStatus();
  return InstanceDockerError(
      instance->name, absl::StrFormat("the logs of service %s could not be read", job.job_id),
      result->exit_code, result->out);
}

absl::StatusOr<std::vector<FoundJob>> BrevPlatform::FindOurs() {
  const absl::StatusOr<std::vector<BrevInstance>> all = cli_.List(kAskTimeout, nullptr);
  if (!all.ok()) return CouldNotAsk(all.status());
  std::vector<FoundJob> found;
  for (const BrevInstance& instance : *all) {
    std::optional<std::string> job_id = JobIdOfInstance(instance.name, config_.daemon_id);
    if (!job_id.has_value() || UseOf(instance) == InstanceUse::kDeleting) continue;
    found.push_back({.job_id = *std::move(job_id),
                     .state = {.state = PlatformState::State::kRunning,
                               .detail = Describe(instance),
                               .exit_code = {}}});
  }
  return found;
}

}  // namespace tao::platforms
