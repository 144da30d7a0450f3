#include "server/platforms/kubernetes/kubectl.h"

#include <absl/strings/str_format.h>

#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/kubernetes/kubernetes_parse.h"

namespace tao::platforms {

std::vector<std::string> Joined(std::vector<std::string> first,
                                const std::vector<std::string>& rest) {
  first.insert(first.end(), rest.begin(), rest.end());
  return first;
}

Kubectl::Kubectl(std::string program, std::vector<std::string> unset_env)
    : program_(std::move(program)), unset_env_(std::move(unset_env)) {}

std::vector<std::string> Kubectl::Argv(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), program_);
  return arguments;
}

io::SubprocessOptions Kubectl::Options(std::vector<std::string> arguments,
                                       absl::Duration timeout) const {
  io::SubprocessOptions options;
  options.argv = Argv(std::move(arguments));
  options.unset_env = unset_env_;
  options.timeout = timeout;
  options.max_output_bytes = 64 << 20;  // the nodes of a large cluster
  return options;
}

absl::StatusOr<io::SubprocessResult> Kubectl::Run(const io::SubprocessOptions& options) const {
  absl::StatusOr<io::SubprocessResult> result = io::RunSubprocess(options);
  if (!absl::IsNotFound(result.status())) return result;
  return absl::FailedPreconditionError(
      absl::StrFormat("platform kubernetes needs the program %s, and it is not in the server's "
                      "PATH. Install it (Debian: apt-get install kubernetes-client)",
                      base::Quoted(program_)));
}

absl::StatusOr<std::string> Kubectl::AskClient(std::string_view what, KubectlCall call) const {
  io::SubprocessOptions options = Options(std::move(call.arguments), call.timeout);
  options.stdin_text = std::move(call.stdin_text);
  options.cancel = call.cancel;
  ASSIGN_OR_RETURN(io::SubprocessResult result, Run(options));
  if (result.exit_code == 0) return std::move(result.out);
  // auth can-i says no on stdout.
  return KubectlError(what, result.exit_code, result.err.empty() ? result.out : result.err);
}

absl::StatusOr<std::string> Kubectl::Ask(std::string_view what, const KubernetesTarget& target,
                                         KubectlCall call) const {
  call.arguments = Joined(RenderBounded(target), call.arguments);
  return AskClient(what, std::move(call));
}

}  // namespace tao::platforms
