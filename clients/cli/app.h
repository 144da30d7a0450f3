#pragma once

// The whole program: parses the command line, runs the command, returns the exit code.

namespace tao::cli {

int Run(int argc, char** argv);

}  // namespace tao::cli
