#pragma once

// Each adds its command to the parser. What the command line set lives in Command::run.

#include "clients/cli/connection.h"

namespace tao::cli {

Command AddStart(CLI::App& app);
Command AddList(CLI::App& app);
Command AddWatch(CLI::App& app);
Command AddLogs(CLI::App& app);
Command AddStop(CLI::App& app);
Command AddChat(CLI::App& app);
Command AddCheck(CLI::App& app);
Command AddCompletion(CLI::App& app);

}  // namespace tao::cli
