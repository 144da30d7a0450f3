#include <absl/time/clock.h>
#include <CLI/CLI.hpp>

#include "clients/cli/commands.h"
#include "clients/cli/list_all.h"
#include "clients/cli/service_text.h"
#include "clients/cli/status_report.h"

namespace tao::cli {

namespace {

ExitCode List(Session& session) {
  pb::ListResponse all;
  if (const grpc::Status status = ListAll(session, all); !status.ok()) {
    return ReportStatus(status, session);
  }
  if (session.options.json) {
    PrintOut(ToJsonLine(all));
    return ExitCode::kOk;
  }
  if (all.services_size() == 0) {
    PrintErr("There is no service. Start one: tao-inference start --help\n");
    return ExitCode::kOk;
  }
  PrintOut(ListTable({all.services().begin(), all.services().end()}, absl::Now()));
  return ExitCode::kOk;
}

}  // namespace

Command AddList(CLI::App& app) {
  CLI::App* const parser = app.add_subcommand("list", "List the services");
  parser->footer(
      "Examples:\n"
      "  tao-inference list\n"
      "  tao-inference list --json");
  return {parser, List};
}

}  // namespace tao::cli
