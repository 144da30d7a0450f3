#include <absl/strings/str_format.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>

#include "clients/cli/commands.h"
#include "clients/cli/platform_flags.h"
#include "clients/cli/service_text.h"
#include "clients/cli/status_report.h"
#include "clients/cli/terminal_text.h"

namespace tao::cli {
namespace {

// The platform's preflight takes 30 s at most.
constexpr absl::Duration kCheckLimit = absl::Seconds(45);

std::string_view Word(pb::CheckItem::Outcome outcome) {
  switch (outcome) {
    case pb::CheckItem::OUTCOME_OK:
      return "ok";
    case pb::CheckItem::OUTCOME_WARNING:
      return "warning";
    case pb::CheckItem::OUTCOME_MISSING:
      return "MISSING";
    default:
      return "unknown";
  }
}

ExitCode Check(Session& session, const PlatformFlags& flags) {
  pb::CheckPlatformRequest request;
  if (!FillPlatform(flags, request)) return ExitCode::kUsage;
  pb::CheckPlatformResponse response;
  grpc::Status status;
  {
    grpc::ClientContext context;
    SetLimit(context, kCheckLimit);
    const Interrupt::Scope scope(session.interrupt, &context);
    status = session.stub->CheckPlatform(&context, request, &response);
  }
  if (!status.ok()) {
    const ExitCode code = ReportStatus(status, session);
    PrintErr(MisspeltFlags(flags, status));
    return code;
  }
  if (session.options.json) {
    PrintOut(ToJsonLine(response));
  } else {
    size_t width = 16;
    for (const pb::CheckItem& item : response.items()) width = std::max(width, item.name().size());
    for (const pb::CheckItem& item : response.items()) {
      PrintOut(absl::StrFormat("%-8s %-*s %s\n", Word(item.outcome()), width, OneLine(item.name()),
                               OneLine(item.message())));
    }
    PrintOut(absl::StrFormat("%s: %s\n", OneLine(response.platform()),
                             response.usable() ? "a start can begin" : "a start would fail"));
  }
  return response.usable() ? ExitCode::kOk : ExitCode::kRequestFailed;
}

}  // namespace

Command AddCheck(CLI::App& app) {
  CLI::App* const parser =
      app.add_subcommand("check", "Look at what a platform needs, and how to get what is missing");
  auto flags = std::make_shared<PlatformFlags>();
  AddPlatformFlags(*parser, *flags);
  parser->footer(
      "Examples:\n"
      "  tao-inference check --platform local-docker\n"
      "  tao-inference check --platform slurm --partition gpu");
  return {parser, [flags](Session& session) { return Check(session, *flags); },
          /*takes_unknown_flags=*/true};
}

}  // namespace tao::cli
