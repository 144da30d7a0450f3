#include <CLI/CLI.hpp>

#include <memory>

#include "clients/cli/commands.h"
#include "clients/cli/follow_readiness.h"
#include "clients/cli/service_text.h"

namespace tao::cli {
namespace {

struct WatchOptions {
  std::string job_id;
  bool follow = false;
};

ExitCode Watch(Session& session, const WatchOptions& options) {
  const Followed followed = FollowReadiness(
      session, options.job_id, options.follow ? FollowUntil::kEnd : FollowUntil::kReady);
  if (followed.last.job_id().empty()) return followed.code;
  if (session.options.json) {
    PrintOut(ToJsonLine(followed.last));
  } else if (followed.code == ExitCode::kOk && !options.follow) {
    PrintOut(StartSummary(followed.last));
  }
  return followed.code;
}

}  // namespace

Command AddWatch(CLI::App& app) {
  CLI::App* const parser =
      app.add_subcommand("watch", "Show a service's progress until it is READY");
  auto options = std::make_shared<WatchOptions>();
  parser->add_option("JOB_ID", options->job_id, "The service")->required();
  parser->add_flag("--follow", options->follow, "Go on after READY, until the service ends");
  parser->footer(
      "Examples:\n"
      "  tao-inference watch JOB_ID\n"
      "  tao-inference watch JOB_ID --follow");
  return {parser, [options](Session& session) { return Watch(session, *options); }};
}

}  // namespace tao::cli
