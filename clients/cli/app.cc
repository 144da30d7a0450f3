#include "clients/cli/app.h"

#include <absl/strings/str_format.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "clients/cli/commands.h"
#include "clients/cli/sampling_flags.h"
#include "server/base/closest_name.h"
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

// What CLI11 found wrong, as all errors here are told.
int WrongCommandLine(const CLI::App& app, const CLI::ParseError& error) {
  std::vector<std::string> names;
  std::string of;  // the command that was named
  for (const CLI::App* const command : app.get_subcommands({})) {
    names.push_back(command->get_name());
    if (command->parsed()) of = command->get_name() + " ";
  }
  std::string what = error.what();
  if (of.empty() && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    const std::vector<std::string> words = app.remaining();
    const auto word = std::find_if(words.begin(), words.end(),
                                   [](const std::string& text) { return !text.starts_with('-'); });
    what = word == words.end() ? "a command is missing; there are " + base::JoinedList(names)
                               : absl::StrFormat("there is no command %s%s", base::Quoted(*word),
                                                 base::DidYouMean(*word, names));
  }
  PrintErr(
      absl::StrFormat("tao-inference: %s (tao-inference %s--help says what there is)\n", what, of));
  return static_cast<int>(ExitCode::kUsage);
}

// The command line as the parser takes it: without the program's name, last word first.
std::vector<std::string> WordsOf(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const CLI::App* const chat = app.get_subcommand("chat");
  if (std::find(words.begin(), words.end(), chat->get_name()) != words.end()) {
    words = JoinUnknownFlags(*chat, std::move(words));
  }
  std::reverse(words.begin(), words.end());
  return words;
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
  app.set_version_flag("--version", std::string("tao-inference ") + TAO_VERSION);
  GlobalOptions options;
  app.add_option("--server", options.server, "HOST:PORT of the daemon's gRPC face")
      ->envname(kServerVariable)
      ->capture_default_str();
  app.add_flag("--json", options.json, "Print the API's answer as JSON on stdout");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();   // --server and --json also after the command
  app.allow_extras();  // of commands that pass them on (platform_flags.h); the others refuse them
  const std::vector<Command> commands = {AddStart(app), AddList(app),      AddWatch(app),
                                         AddLogs(app),  AddStop(app),      AddChat(app),
                                         AddCheck(app), AddCompletion(app)};
  try {
    app.parse(WordsOf(app, argc, argv));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return WrongCommandLine(app, error);
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
