#pragma once

// Shell completion, written from the parser's own tree, so that it has exactly the commands and
// flags that there are. Pure.

#include <CLI/CLI.hpp>

#include <string>

namespace tao::cli {

// Functions for `source <(tao-inference completion bash)`, and for zsh likewise. Words of a list
// (--gpu-mode) are completed by it, job_ids by asking the daemon, other values by file names.
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);

}  // namespace tao::cli
