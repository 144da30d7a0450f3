#pragma once

// What tao-inference ends with. Stable: scripts rely on it (README.md of this folder).

namespace tao::cli {

enum class ExitCode {
  kOk = 0,
  kRequestFailed = 1,      // the daemon or the service refused or failed the request
  kUsage = 2,              // the command line is wrong; nothing was sent
  kServiceFailed = 3,      // the service that was waited for ended without becoming READY
  kDaemonUnreachable = 4,  // no daemon answers; what was asked for may or may not have been done
  kInterrupted = 130,      // Ctrl-C or SIGTERM; a service that was started goes on
};

}  // namespace tao::cli
