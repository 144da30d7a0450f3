#pragma once

// One request of `chat` and its answer: sent again while the service says that this helps, printed
// as it comes.

#include <absl/time/time.h>

#include <string>

#include "clients/cli/connection.h"

namespace tao::cli {

struct ChatQuestion {
  pb::Service service;
  pb::InferRequest request;
  std::string output;                          // file for the answer; empty: stdout
  absl::Duration wait = absl::ZeroDuration();  // how long to try again
};

// Blocks until the answer is whole. What went wrong is said.
ExitCode Exchange(Session& session, const ChatQuestion& question);

}  // namespace tao::cli
