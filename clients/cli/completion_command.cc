#include <memory>

#include "clients/cli/commands.h"
#include "clients/cli/completion.h"

namespace tao::cli {

Command AddCompletion(CLI::App& app) {
  CLI::App* const parser =
      app.add_subcommand("completion", "Print a script for your shell that completes commands");
  auto shell = std::make_shared<std::string>();
  parser->add_option("SHELL", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  parser->footer(
      "Examples:\n"
      "  source <(tao-inference completion bash)      # in ~/.bashrc\n"
      "  source <(tao-inference completion zsh)       # in ~/.zshrc, after compinit");
  return {parser, [shell, &app](Session&) {
            PrintOut(*shell == "bash" ? BashCompletion(app) : ZshCompletion(app));
            return ExitCode::kOk;
          }};
}

}  // namespace tao::cli
