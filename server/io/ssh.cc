#include "server/io/ssh.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include <optional>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::io {
namespace {

// Around the command's own stdout: before it come banners, after it the exit code that the other
// host saw. ssh's own exit code cannot tell a command's 255 from a broken connection.
constexpr std::string_view kBegin = "--tao-ssh-begin--";
constexpr std::string_view kEnd = "--tao-ssh-end--";

struct FailureText {
  std::string_view text;
  SshFailure failure;
};

// The first row that is found counts: what ssh prints last is often the consequence.
constexpr FailureText kFailureTexts[] = {
    {"REMOTE HOST IDENTIFICATION HAS CHANGED", SshFailure::kHostKeyChanged},
    {"Host key verification failed", SshFailure::kHostKeyUnknown},
    {"Permission denied", SshFailure::kPermissionDenied},
    {"Too many authentication failures", SshFailure::kPermissionDenied},
    {"Could not resolve hostname", SshFailure::kUnresolved},
    {"Address already in use", SshFailure::kPortTaken},
    {"cannot listen to port", SshFailure::kPortTaken},
    {"administratively prohibited", SshFailure::kForwardingRefused},
    {"Connection refused", SshFailure::kRefused},
    {"Connection timed out", SshFailure::kTimedOut},
    {"Operation timed out", SshFailure::kTimedOut},
    {"No route to host", SshFailure::kTimedOut},
    {"Network is unreachable", SshFailure::kTimedOut},
    {"closed by remote host", SshFailure::kClosed},
    {"Connection closed", SshFailure::kClosed},
    {"Connection reset", SshFailure::kClosed},
    {"Broken pipe", SshFailure::kClosed},
    {"not responding", SshFailure::kClosed},
};

// ssh's last words on one line.
std::string LastWords(std::string_view err) {
  while (!err.empty() && (err.back() == '\n' || err.back() == '\r')) err.remove_suffix(1);
  const size_t line = err.rfind('\n');
  return std::string(line == std::string_view::npos ? err : err.substr(line + 1));
}

// The command's lines out of ssh's stdout.
class OutputFilter {
 public:
  // The line as the command printed it; nullopt when it is not the command's.
  std::optional<std::string_view> OnLine(std::string_view line) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!begun_) {
      begun_ = line.ends_with(kBegin);
      return std::nullopt;
    }
    const size_t end = line.rfind(kEnd);
    int code = 0;
    if (end != std::string_view::npos &&
        absl::SimpleAtoi(base::ToAbsl(line.substr(end + kEnd.size())), &code)) {
      exit_code_ = code;
      if (end == 0) return std::nullopt;
      line = line.substr(0, end);  // the command's last line had no line end
    }
    return line;
  }
  std::optional<int> exit_code() const { return exit_code_; }

 private:
  bool begun_ = false;
  std::optional<int> exit_code_;
};

// For printf's %b, and between single quotes of any shell: csh takes neither a line end nor a '!'
// there, and each shell has its own way to write a quote or a backslash.
std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("\n!'\\").find(c) == std::string_view::npos) {
      escaped.push_back(c);
    } else {
      escaped += absl::StrFormat("\\0%03o", c);
    }
  }
  return escaped;
}

// The command goes to the user's login shell first, whichever that is: it is only to start /bin/sh.
std::string Framed(const std::string& command) {
  return absl::StrFormat(
      "exec /bin/sh -c 'eval \"$(printf %%b \"$1\")\"' sh '%s'",
      Escaped(absl::StrFormat("echo %s; ( %s\n); echo %s$?", kBegin, command, kEnd)));
}

}  // namespace

std::string ToString(const SshTarget& target) {
  return target.user.empty() ? target.host : target.user + "@" + target.host;
}

std::vector<std::string> SshArgv(const SshTarget& target, const std::vector<std::string>& options) {
  std::vector<std::string> argv = {target.program, "-T"};
  if (!target.config_file.empty()) argv.insert(argv.end(), {"-F", target.config_file});
  const auto option = [&argv](std::string value) {
    argv.push_back("-o");
    argv.push_back(std::move(value));
  };
  option("BatchMode=yes");
  option("PasswordAuthentication=no");
  option("PreferredAuthentications=publickey");
  option(absl::StrFormat("ConnectTimeout=%d", absl::ToInt64Seconds(target.connect_timeout)));
  if (target.strict_host_keys) option("StrictHostKeyChecking=yes");
  for (const std::string& value : target.options) option(value);
  if (!target.identity_file.empty()) {
    argv.insert(argv.end(), {"-i", target.identity_file});
    option("IdentitiesOnly=yes");
  }
  argv.insert(argv.end(), options.begin(), options.end());
  argv.push_back("--");  // a host that looks like an option stays a host
  argv.push_back(ToString(target));
  return argv;
}

std::vector<std::string> SshForwardArgv(const SshTarget& target, int local_port,
                                        std::string_view host_and_port) {
  return SshArgv(target,
                 {"-N", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15", "-o",
                  "ServerAliveCountMax=3",
                  // A shared connection would take the forwarding over, and this program would end.
                  "-o", "ControlMaster=no", "-o", "ControlPath=none", "-L",
                  absl::StrFormat("127.0.0.1:%d:%s", local_port, host_and_port)});
}

SshFailure SshFailureOf(std::string_view err) {
  for (const FailureText& row : kFailureTexts) {
    if (err.find(row.text) != std::string_view::npos) return row.failure;
  }
  return SshFailure::kOther;
}

absl::Status SshError(const SshTarget& target, std::string_view err) {
  const std::string host = base::Quoted(ToString(target));
  const std::string words = base::Quoted(LastWords(err), 300);
  switch (SshFailureOf(err)) {
    case SshFailure::kPermissionDenied:
      return absl::FailedPreconditionError(absl::StrFormat(
          "ssh to %s was refused: %s. The key or the user is not the one that host knows: check "
          "the user name, the key file and that an agent, if one is used, holds the key (ssh-add "
          "-l)",
          host, words));
    case SshFailure::kHostKeyUnknown:
      return absl::FailedPreconditionError(absl::StrFormat(
          "ssh to %s: the host's key is not known. Check its fingerprint with whoever runs that "
          "host, and add it once by hand: ssh %s",
          host, ToString(target)));
    case SshFailure::kHostKeyChanged:
      return absl::FailedPreconditionError(absl::StrFormat(
          "ssh to %s: the host's key has CHANGED, which is what an attack looks like. Ask whoever "
          "runs that host; only if it was replaced: ssh-keygen -R %s, and add the new key by hand",
          host, target.host));
    case SshFailure::kUnresolved:
      return absl::FailedPreconditionError(absl::StrFormat(
          "ssh to %s: the name is not known here: %s. Check the name, and the VPN if it is an "
          "internal one",
          host, words));
    case SshFailure::kPortTaken:
      return absl::ResourceExhaustedError(absl::StrFormat(
          "ssh to %s cannot listen on the local port of its tunnel: %s", host, words));
    case SshFailure::kForwardingRefused:
      return absl::FailedPreconditionError(
          absl::StrFormat("%s does not forward connections: %s. Its administrator must allow it "
                          "(AllowTcpForwarding in sshd_config)",
                          host, words));
    case SshFailure::kRefused:
    case SshFailure::kTimedOut:
      return absl::UnavailableError(absl::StrFormat(
          "%s cannot be reached by ssh: %s. Is the host up, and is the VPN connected?", host,
          words));
    case SshFailure::kClosed:
      return absl::UnavailableError(
          absl::StrFormat("the ssh connection to %s broke: %s", host, words));
    case SshFailure::kOther:
      break;
  }
  return absl::UnavailableError(absl::StrFormat("ssh to %s failed: %s", host, words));
}

absl::StatusOr<SubprocessResult> RunSsh(const SshTarget& target, const SshCommand& command) {
  SubprocessOptions options;
  options.argv = SshArgv(target, {});
  options.argv.push_back(Framed(command.command));
  options.unset_env = target.unset_env;
  options.stdin_text = command.stdin_text;
  options.timeout = command.timeout;
  options.cancel = command.cancel;
  options.max_output_bytes = command.max_output_bytes;
  OutputFilter filter;
  std::string out;
  options.on_line = [&](bool is_stderr, std::string_view line) {
    if (is_stderr) return command.on_line == nullptr || command.on_line(true, line);
    const std::optional<std::string_view> own = filter.OnLine(line);
    if (!own.has_value()) return true;
    if (out.size() + own->size() < command.max_output_bytes) out.append(*own).push_back('\n');
    return command.on_line == nullptr || command.on_line(false, *own);
  };
  ASSIGN_OR_RETURN(SubprocessResult result, RunSubprocess(options));
  if (!filter.exit_code().has_value()) return SshError(target, result.err);
  result.exit_code = *filter.exit_code();
  result.out = std::move(out);
  return result;
}

}  // namespace tao::io
