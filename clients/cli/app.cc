#include "clients/cli/app.h"

#include <absl/strings/str_format.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <CLI/CLI.hpp>

#include <vector>

#include "clients/cli/commands.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

constexpr char kFooter[] =
    "Exit codes: 0 done; 1 the request failed; 2 wrong command line; 3 the service FAILED or "
    "ended\n"
    "without becoming READY; 4 no daemon answers; 130 interrupted (a started service goes on).";

// What they would print is said in our words, by the status of the call.
void KeepLibrariesQuiet() {
  google::protobuf::SetLogHandler(nullptr);
  gpr_set_log_function([](gpr_log_func_args*) {});
}

}  // namespace

int Run(int argc, char** argv) {
  // First: threads that come later inherit the blocked signals.
  Interrupt interrupt;
  KeepLibrariesQuiet();
  for (int i = 1; i < argc; ++i) {
    if (base::IsValidUtf8(argv[i])) continue;
    PrintErr(
        absl::StrFormat("tao-inference: %s is not valid UTF-8, and the API takes nothing else\n",
                        base::Quoted(argv[i])));
    return static_cast<int>(ExitCode::kUsage);
  }
  CLI::App app{"Starts, watches, asks and stops inference services of a tao-inference-server.",
               "tao-inference"};
  GlobalOptions options;
  app.add_option("--server", options.server, "HOST:PORT of the daemon's gRPC face")
      ->envname(kServerVariable)
      ->capture_default_str();
  app.add_flag("--json", options.json, "Print the API's answer as JSON on stdout");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();   // --server and --json also after the command
  app.allow_extras();  // of commands that pass them on (platform_flags.h); the others refuse them
  const std::vector<Command> commands = {AddStart(app), AddList(app), AddWatch(app), AddLogs(app),
                                         AddStop(app),  AddChat(app), AddCheck(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // 0 is --help; CLI11's other codes are not ours.
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  for (const Command& command : commands) {
    if (!command.parser->parsed()) continue;
    if (const std::vector<std::string> words = app.remaining(/*recurse=*/true);
        !words.empty() && !command.takes_unknown_flags) {
      PrintErr(absl::StrFormat("tao-inference: %s is not known here; see tao-inference %s --help\n",
                               words.front(), command.parser->get_name()));
      return static_cast<int>(ExitCode::kUsage);
    }
    Session session{.options = options, .stub = Connect(options.server), .interrupt = interrupt};
    return static_cast<int>(command.run(session));
  }
  return static_cast<int>(ExitCode::kUsage);
}

}  // namespace tao::cli
