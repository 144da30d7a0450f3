#include <CLI/CLI.hpp>

#include <memory>
#include <optional>

#include "clients/cli/commands.h"
#include "clients/cli/service_text.h"
#include "clients/cli/status_report.h"

namespace tao::cli {
namespace {

struct LogsOptions {
  std::string job_id;
  std::optional<int32_t> tail_lines;
  bool follow = false;
};

ExitCode Logs(Session& session, const LogsOptions& options) {
  pb::StreamLogsRequest request;
  request.set_job_id(options.job_id);
  if (options.tail_lines.has_value()) request.set_tail_lines(*options.tail_lines);
  request.set_follow(options.follow);
  grpc::ClientContext context;
  const Interrupt::Scope scope(session.interrupt, &context);
  const auto reader = session.stub->StreamLogs(&context, request);
  pb::LogChunk chunk;
  while (reader->Read(&chunk)) {
    if (session.options.json) {
      PrintOut(ToJsonLine(chunk));
      continue;
    }
    std::string text;
    for (const std::string& line : chunk.lines()) {
      text += line;
      text += '\n';
    }
    PrintOut(text);
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? ExitCode::kOk : ReportStatus(status, session);
}

}  // namespace

Command AddLogs(CLI::App& app) {
  CLI::App* const parser = app.add_subcommand("logs", "Print what a service's container wrote");
  auto options = std::make_shared<LogsOptions>();
  parser->add_option("JOB_ID", options->job_id, "The service")->required();
  parser->add_flag("--follow", options->follow, "Go on until the service ends");
  parser->add_option("--tail", options->tail_lines,
                     "Lines of the past to begin with; -1: all (default: 200)");
  parser->footer(
      "Examples:\n"
      "  tao-inference logs JOB_ID --follow\n"
      "  tao-inference logs JOB_ID --tail 50");
  return {parser, [options](Session& session) { return Logs(session, *options); }};
}

}  // namespace tao::cli
