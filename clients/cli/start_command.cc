#include <absl/strings/str_format.h>
#include <CLI/CLI.hpp>

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "clients/cli/commands.h"
#include "clients/cli/follow_readiness.h"
#include "clients/cli/platform_flags.h"
#include "clients/cli/seconds_option.h"
#include "clients/cli/service_text.h"
#include "clients/cli/settings.h"
#include "clients/cli/status_report.h"

namespace tao::cli {
namespace {

struct StartOptions {
  pb::StartRequest request;
  PlatformFlags platform;
  std::vector<std::string> mounts;
  std::vector<std::string> env;           // NAME=VALUE
  std::vector<std::string> arch_options;  // NAME=VALUE, or NAME for a flag without value
  std::optional<double> idle_timeout_minutes;
  std::string progress_timeout;
  std::string startup_timeout;
  bool keep_failed = false;
  bool detach = false;
};

// False when something was given twice, which is said.
bool FillRequest(const StartOptions& options, pb::StartRequest& request) {
  request = options.request;
  for (const std::string& mount : options.mounts) request.add_mounts(mount);
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
  if (!FillPlatform(options.platform, request)) return false;
  if (options.idle_timeout_minutes.has_value()) {
    request.set_idle_timeout_minutes(*options.idle_timeout_minutes);
  }
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
    PrintErr(MisspeltFlags(options.platform, status));
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
  text("--model-key", request.mutable_model_key(),
       "The registered key that some archs want for a hf_model:// path");
  several("--mount", options->mounts, "Host folder for the container, SRC:DST[:ro]; repeatable");
  text("--hf-cache", request.mutable_hf_cache(), "Host folder for downloaded weights");
  several("--env", options->env, "Plain variable for the container; repeatable")
      ->check(IsSetting(/*required=*/true));
  several("--arch-option", options->arch_options, "Optional flag of the arch's command; repeatable")
      ->check(IsSetting(/*required=*/false));
  AddPlatformFlags(*parser, options->platform);
  AddLimitFlags(*parser, *options);
  text("--request-id", request.mutable_request_id(),
       "Makes the start idempotent: the same id gives the same service");
  parser->add_flag("--detach", options->detach, "Return at once; follow with `watch`");
  parser->footer(
      "Examples:\n"
      "  tao-inference start --network-arch cosmos-rl --platform local-docker --model-path "
      "/models/x \\\n"
      "    --mount /data/x:/models/x:ro\n"
      "  tao-inference start --network-arch cosmos-rl --platform slurm --partition gpu "
      "--model-path hf_model://ORG/MODEL");
  return {parser, [options](Session& session) { return Start(session, *options); },
          /*takes_unknown_flags=*/true};
}

}  // namespace tao::cli
