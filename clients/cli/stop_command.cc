#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "clients/cli/commands.h"
#include "clients/cli/list_all.h"
#include "clients/cli/seconds_option.h"
#include "clients/cli/service_text.h"
#include "clients/cli/status_report.h"
#include "clients/cli/terminal_text.h"

namespace tao::cli {
namespace {

struct StopOptions {
  std::string job_id;
  bool yes = false;
  bool no_wait = false;
  std::string drain_timeout;
};

// What is to be stopped, or why nothing is.
struct Choice {
  std::string job_id;
  ExitCode code = ExitCode::kOk;
};

// The one that was started last, whether it runs yet or not. (List's `latest` counts those that
// run.)
const pb::Service* Latest(const pb::ListResponse& all) {
  const auto age = [](const pb::Service& service) {
    return std::pair(service.created_at().seconds(), service.created_at().nanos());
  };
  const pb::Service* latest = nullptr;
  for (const pb::Service& service : all.services()) {
    const bool over = service.phase() == pb::PHASE_FAILED || service.phase() == pb::PHASE_DRAINING;
    if (over || service.foreign()) continue;
    if (latest == nullptr || age(service) >= age(*latest)) latest = &service;
  }
  return latest;
}

bool Confirmed(const pb::Service& service) {
  PrintErr(absl::StrFormat("Stop the latest service, %s %s, started %s ago? [y/N] ",
                           OneLine(service.job_id()), Brief(service),
                           Age(service.created_at(), service.has_created_at(), absl::Now())));
  std::string answer;
  // The end of the input leaves the cursor behind the question.
  if (!std::getline(std::cin, answer)) PrintErr("\n");
  return answer == "y" || answer == "Y" || answer == "yes";
}

Choice ChooseLatest(Session& session, bool yes) {
  // Before anything is asked: a script must name what it stops, or say that any will do.
  if (!yes && ::isatty(STDIN_FILENO) != 1) {
    PrintErr(
        "tao-inference: stop without a job_id asks before it stops the latest service, and there "
        "is no terminal to ask on\n  Name the JOB_ID (tao-inference list), or add --yes.\n");
    return {.job_id = "", .code = ExitCode::kUsage};
  }
  pb::ListResponse all;
  if (const grpc::Status status = ListAll(session, all); !status.ok()) {
    return {.job_id = "", .code = ReportStatus(status, session)};
  }
  if (const pb::Service* const latest = Latest(all); latest != nullptr) {
    if (yes || Confirmed(*latest)) return {.job_id = latest->job_id(), .code = ExitCode::kOk};
    PrintErr("Nothing was stopped.\n");
    return {.job_id = "", .code = ExitCode::kRequestFailed};
  }
  PrintErr(
      "tao-inference: no service runs, so there is no latest one to stop\n"
      "  One that FAILED, or that another tool started, is stopped by its JOB_ID (tao-inference "
      "list).\n");
  return {.job_id = "", .code = ExitCode::kRequestFailed};
}

ExitCode Stop(Session& session, const StopOptions& options) {
  pb::StopRequest request;
  request.set_job_id(options.job_id);
  request.set_wait(!options.no_wait);
  if (!options.drain_timeout.empty()) {
    *request.mutable_drain_timeout() = ToProtoDuration(options.drain_timeout);
  }
  if (options.job_id.empty()) {
    const Choice choice = ChooseLatest(session, options.yes);
    if (choice.code != ExitCode::kOk) return choice.code;
    request.set_job_id(choice.job_id);
  }
  grpc::ClientContext context;
  if (options.no_wait) SetLimit(context, kAnswerLimit);
  const Interrupt::Scope scope(session.interrupt, &context);
  pb::StopResponse response;
  const grpc::Status status = session.stub->Stop(&context, request, &response);
  if (!status.ok()) {
    const ExitCode code = ReportStatus(status, session);
    if (code == ExitCode::kInterrupted) {
      PrintErr(absl::StrFormat("Detached. The stop of %s goes on.\n", request.job_id()));
    }
    return code;
  }
  const pb::Service& service = response.service();
  if (session.options.json) {
    PrintOut(ToJsonLine(service));
  } else if (service.phase() == pb::PHASE_STOPPED && service.network_arch().empty()) {
    PrintErr(
        absl::StrFormat("There is no service %s, so nothing was stopped (tao-inference list)\n",
                        OneLine(request.job_id())));
  } else if (service.phase() == pb::PHASE_STOPPED) {
    PrintOut(absl::StrFormat("Stopped %s\n", request.job_id()));
  } else {
    PrintOut(absl::StrFormat("%s is %s\n", request.job_id(), PhaseName(service.phase())));
  }
  return ExitCode::kOk;
}

}  // namespace

Command AddStop(CLI::App& app) {
  CLI::App* const parser = app.add_subcommand("stop", "Stop a service, and wait until it is gone");
  auto options = std::make_shared<StopOptions>();
  parser->add_option("JOB_ID", options->job_id, "The service; without it the latest, after asking")
      ->check([](const std::string& job_id) {
        return job_id.empty() ? "is empty; leave it out for the latest service" : "";
      });
  parser->add_flag("--yes", options->yes, "Do not ask");
  parser->add_flag("--no-wait", options->no_wait, "Return as soon as it drains");
  parser
      ->add_option("--drain-timeout", options->drain_timeout,
                   "How long requests in flight may go on, e.g. 30s (the default)")
      ->check(IsSeconds());
  parser->footer(
      "Examples:\n"
      "  tao-inference stop JOB_ID\n"
      "  tao-inference stop --yes");
  return {parser, [options](Session& session) { return Stop(session, *options); }};
}

}  // namespace tao::cli
