#pragma once

// The kubectl program: its kubeconfig, contexts and log-in programs come with it. Thread-safe: it
// keeps nothing.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <string_view>
#include <vector>

#include "server/base/cancel.h"
#include "server/io/subprocess.h"
#include "server/platforms/kubernetes/kubernetes_render.h"

namespace tao::platforms {

struct KubectlCall {
  std::vector<std::string> arguments;
  // Empty: /dev/null. Never a secret before a call that needed the user's credentials succeeded: a
  // kubectl without credentials asks for a name and password, and takes them from stdin.
  std::string stdin_text;
  // In all; one command may make several requests, of 30 s each.
  absl::Duration timeout = absl::Seconds(60);
  const base::CancelToken* cancel = nullptr;
};

class Kubectl {
 public:
  // Programs do not inherit `unset_env`.
  Kubectl(std::string program, std::vector<std::string> unset_env);

  // What it printed. `what` says what failed, for KubectlError; beside it the errors of
  // io::RunSubprocess, and FailedPrecondition with advice when there is no kubectl.
  absl::StatusOr<std::string> Ask(std::string_view what, const KubernetesTarget& target,
                                  KubectlCall call) const;
  // The same without target and time-out: for what asks no API.
  absl::StatusOr<std::string> AskClient(std::string_view what, KubectlCall call) const;
  // Unfailing but for the program's own: a non-zero exit is a result.
  absl::StatusOr<io::SubprocessResult> Run(const io::SubprocessOptions& options) const;

  io::SubprocessOptions Options(std::vector<std::string> arguments, absl::Duration timeout) const;
  std::vector<std::string> Argv(std::vector<std::string> arguments) const;
  const std::vector<std::string>& unset_env() const { return unset_env_; }

 private:
  const std::string program_;
  const std::vector<std::string> unset_env_;
};

// `first`, then `rest`.
std::vector<std::string> Joined(std::vector<std::string> first,
                                const std::vector<std::string>& rest);

}  // namespace tao::platforms
