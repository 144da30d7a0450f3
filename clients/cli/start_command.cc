#include <absl/strings/str_format.h>
#include <CLI/CLI.hpp>

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "clients/cli/commands.h"
#include "clients/cli/follow_readiness.h"
#include "clients/cli/seconds_option.h"
#include "clients/cli/service_text.h"
#include "clients/cli/status_report.h"

namespace tao::cli {
namespace {

struct StartOptions {
  pb::StartRequest request;
  std::vector<std::string> mounts;
  std::vector<std::string> env;           // NAME=VALUE
  std::vector<std::string> arch_options;  // NAME=VALUE, or NAME for a flag without value
  std::vector<std::string> gpu_ids;
  std::optional<double> idle_timeout_minutes;
  std::string gpu_mode;
  int32_t gpu_count = 0;
  std::string progress_timeout;
  std::string startup_timeout;
  bool keep_failed = false;
  bool detach = false;
};

// Refuses NAME=VALUE without a name; without `=` when a value is `required`. A value is not
// repeated in the message: someone may have written a secret there.
CLI::Validator IsSetting(bool required) {
  return CLI::Validator(
      [required](std::string& text) -> std::string {
        const size_t equals = text.find('=');
        if (equals == 0) return "there is no name before the =; write NAME=VALUE";
        if (required && equals == std::string::npos) {
          return "\"" + text +
                 "\" has no value; write NAME=VALUE (secrets are set in the daemon's environment)";
        }
        return "";
      },
      required ? "NAME=VALUE" : "NAME[=VALUE]");
}

using Settings = google::protobuf::Map<std::string, std::string>;

// Puts `items` into `settings`; the name that was given twice, if one was.
std::optional<std::string> AddSettings(const std::vector<std::string>& items, Settings& settings) {
  for (const std::string& item : items) {
    const size_t equals = item.find('=');
    const std::string name = item.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : item.substr(equals + 1);
    if (!settings.insert({name, value}).second) return name;
  }
  return std::nullopt;
}

const std::map<std::string, pb::GpuMode>& GpuModes() {
  static const auto& modes = *new std::map<std::string, pb::GpuMode>{
      {"auto", pb::GPU_MODE_AUTO},
      {"device", pb::GPU_MODE_DEVICE},
      {"tegra", pb::GPU_MODE_TEGRA},
      {"none", pb::GPU_MODE_NONE},
  };
  return modes;
}

// False when something was given twice, which is said.
bool FillRequest(const StartOptions& options, pb::StartRequest& request) {
  request = options.request;
  for (const std::string& mount : options.mounts) request.add_mounts(mount);
  for (const std::string& id : options.gpu_ids) request.add_gpu_ids(id);
  std::string flag = "--env";
  std::optional<std::string> twice = AddSettings(options.env, *request.mutable_env());
  if (!twice.has_value()) {
    flag = "--arch-option";
    twice = AddSettings(options.arch_options, *request.mutable_arch_options());
  }
  if (twice.has_value()) {
    PrintErr(absl::StrFormat("tao-inference: %s %s is given twice; leave one\n", flag, *twice));
    return false;
  }
  if (options.idle_timeout_minutes.has_value()) {
    request.set_idle_timeout_minutes(*options.idle_timeout_minutes);
  }
  if (!options.gpu_mode.empty()) request.set_gpu_mode(GpuModes().at(options.gpu_mode));
  request.set_gpu_count(options.gpu_count);
  if (!options.progress_timeout.empty()) {
    *request.mutable_progress_timeout() = ToProtoDuration(options.progress_timeout);
  }
  if (!options.startup_timeout.empty()) {
    *request.mutable_startup_timeout() = ToProtoDuration(options.startup_timeout);
  }
  request.set_keep_failed(options.keep_failed);
  return true;
}

ExitCode PrintStarted(const Session& session, const pb::Service& service, ExitCode code) {
  if (session.options.json) {
    PrintOut(ToJsonLine(service));
  } else if (code == ExitCode::kServiceFailed) {
    // It takes no requests; it stays listed until it is stopped.
    PrintErr(absl::StrFormat("Remove it: %s\n", CommandLine(session, "stop", service.job_id())));
  } else {
    PrintOut(StartSummary(service));
  }
  return code;
}

ExitCode Start(Session& session, const StartOptions& options) {
  pb::StartRequest request;
  if (!FillRequest(options, request)) return ExitCode::kUsage;
  // From here on a Ctrl-C must not end the program before it has said what goes on without it.
  const Interrupt::Scope hold(session.interrupt);
  pb::StartResponse response;
  grpc::Status status;
  {
    grpc::ClientContext context;
    SetLimit(context, kStartLimit);
    const Interrupt::Scope scope(session.interrupt, &context);
    status = session.stub->Start(&context, request, &response);
  }
  if (!status.ok()) {
    const ExitCode code = ReportStatus(status, session);
    if (code == ExitCode::kInterrupted) {
      PrintErr(
          "Interrupted before the daemon answered; it may have started the service all the "
          "same: tao-inference list\n");
    }
    return code;
  }
  const pb::Service& started = response.service();
  if (options.detach) {
    PrintErr(absl::StrFormat("Started. Follow it: %s\n",
                             CommandLine(session, "watch", started.job_id())));
    return PrintStarted(session, started, ExitCode::kOk);
  }
  PrintErr(absl::StrFormat("Started job_id=%s; waiting until it is READY (Ctrl-C detaches)\n",
                           started.job_id()));
  const Followed followed = FollowReadiness(session, started.job_id(), FollowUntil::kReady);
  // Whatever came of it, the Job ID is what the user needs next.
  const bool seen = !followed.last.job_id().empty();
  return PrintStarted(session, seen ? followed.last : started, followed.code);
}

void AddGpuFlags(CLI::App& parser, StartOptions& options) {
  std::vector<std::string> modes;
  for (const auto& [name, mode] : GpuModes()) modes.push_back(name);
  parser.add_option("--gpu-mode", options.gpu_mode, "auto, device, tegra or none")
      ->check(CLI::IsMember(modes));
  parser.add_option("--gpu-count", options.gpu_count, "GPUs wanted (default: 1)")
      ->check(CLI::NonNegativeNumber);
  parser.add_option("--gpu-id", options.gpu_ids, "Index or UUID of a GPU to use; repeatable")
      ->take_all()
      ->allow_extra_args(false);
}

void AddLimitFlags(CLI::App& parser, StartOptions& options) {
  parser.add_option("--idle-timeout", options.idle_timeout_minutes,
                    "Minutes without a request after which the service ends itself");
  parser
      .add_option("--progress-timeout", options.progress_timeout,
                  "FAILED after this long without progress, e.g. 10m (the default)")
      ->check(IsSeconds());
  parser
      .add_option("--startup-timeout", options.startup_timeout,
                  "FAILED when not READY after this long, e.g. 2h (the default)")
      ->check(IsSeconds());
  parser.add_flag("--keep-failed", options.keep_failed,
                  "Leave the container of a service that FAILED, for inspection");
}

}  // namespace

Command AddStart(CLI::App& app) {
  CLI::App* const parser =
      app.add_subcommand("start", "Start a service, and wait until it is READY");
  auto options = std::make_shared<StartOptions>();
  pb::StartRequest& request = options->request;
  const auto text = [parser](const char* name, std::string* field, const char* help) {
    return parser->add_option(name, *field, help);
  };
  const auto several = [parser](const char* name, std::vector<std::string>& into,
                                const char* help) {
    return parser->add_option(name, into, help)->take_all()->allow_extra_args(false);
  };
  text("--network-arch", request.mutable_network_arch(), "The model family, e.g. cosmos-rl")
      ->required();
  text("--model-path", request.mutable_model_path(),
       "hf_model://ORG/MODEL, or an absolute path inside the container")
      ->required();
  text("--platform", request.mutable_platform(), "local-docker or local-process");
  text("--model-key", request.mutable_model_key(),
       "The registered key that some archs want for a hf_model:// path");
  several("--mount", options->mounts, "Host folder for the container, SRC:DST[:ro]; repeatable");
  text("--hf-cache", request.mutable_hf_cache(), "Host folder for downloaded weights");
  several("--env", options->env, "Plain variable for the container; repeatable")
      ->check(IsSetting(/*required=*/true));
  several("--arch-option", options->arch_options, "Optional flag of the arch's command; repeatable")
      ->check(IsSetting(/*required=*/false));
  AddGpuFlags(*parser, *options);
  AddLimitFlags(*parser, *options);
  text("--request-id", request.mutable_request_id(),
       "Makes the start idempotent: the same id gives the same service");
  parser->add_flag("--detach", options->detach, "Return at once; follow with `watch`");
  return {parser, [options](Session& session) { return Start(session, *options); }};
}

}  // namespace tao::cli
