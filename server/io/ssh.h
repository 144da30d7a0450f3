#pragma once

// Commands on another host, by the ssh program: its configuration, agents, jump hosts and known
// hosts come with it. One command is one string for the remote login shell; secrets go in by stdin
// and nowhere else.

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/cancel.h"
#include "server/io/subprocess.h"

namespace tao::io {

// A host, and how to get in.
struct SshTarget {
  std::string user;           // empty: as ssh's configuration says
  std::string host;           // a name, an address, or an alias of the configuration
  std::string identity_file;  // empty: the agent's, or the configuration's
  std::string config_file;    // empty: the user's own
  // StrictHostKeyChecking=yes: a host that is not known, or whose key has changed, is refused and
  // never added. False leaves it to the configuration.
  bool strict_host_keys = true;
  std::vector<std::string> options;    // further "-o" values, e.g. "ControlMaster=no"
  std::vector<std::string> unset_env;  // names that ssh does not inherit: secrets
  std::string program = "ssh";
  absl::Duration connect_timeout = absl::Seconds(15);
};

// "user@host", for people.
std::string ToString(const SshTarget& target);

// ssh, its options, `options`, and the destination; a remote command may follow as one argument.
// Never asks: BatchMode, public keys alone.
std::vector<std::string> SshArgv(const SshTarget& target, const std::vector<std::string>& options);

// The program of a tunnel: forwards `local_port` of this host's loopback to `host_and_port` as
// the target sees it, and ends when it cannot listen or the connection breaks.
std::vector<std::string> SshForwardArgv(const SshTarget& target, int local_port,
                                        std::string_view host_and_port);

// What went wrong between here and there, by ssh's own words. Pure.
enum class SshFailure {
  kOther,
  kPermissionDenied,
  kHostKeyUnknown,
  kHostKeyChanged,
  kUnresolved,
  kRefused,
  kTimedOut,
  kClosed,             // the connection broke
  kPortTaken,          // -L: the local port
  kForwardingRefused,  // -L: the server does not forward
};
SshFailure SshFailureOf(std::string_view err);

// The failure with its advice. FailedPrecondition where somebody must change something first (key,
// host key, name), ResourceExhausted for kPortTaken, else Unavailable.
absl::Status SshError(const SshTarget& target, std::string_view err);

struct SshCommand {
  std::string command;                         // for /bin/sh on the other host
  std::string stdin_text;                      // what the command reads
  absl::Duration timeout = absl::Seconds(30);  // in all; may be InfiniteDuration
  const base::CancelToken* cancel = nullptr;
  size_t max_output_bytes = 1 << 20;
  // As in SubprocessOptions: lines of the command's own output.
  std::function<bool(bool is_stderr, std::string_view line)> on_line;
};

// Runs to the end. The result is the command's own: what rc files and banners print before it is
// not in `out`, and the exit code is the one that the other host reported. An error is the
// transport's (SshError), or DeadlineExceeded, Cancelled: then nothing is known of what the command
// did. NotFound: there is no ssh program.
absl::StatusOr<SubprocessResult> RunSsh(const SshTarget& target, const SshCommand& command);

}  // namespace tao::io
