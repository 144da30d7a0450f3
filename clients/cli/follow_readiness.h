#pragma once

// What start and watch share: a service's way to READY, shown on stderr.

#include <string>

#include "clients/cli/connection.h"

namespace tao::cli {

enum class FollowUntil {
  kReady,  // or its end
  kEnd,    // READY is but one phase
};

struct Followed {
  ExitCode code;
  pb::Service last;  // as it was seen last; empty when nothing was
};

// Blocks until the service is READY, ended, or Ctrl-C; says on stderr what came of it unless it is
// READY.
Followed FollowReadiness(Session& session, const std::string& job_id, FollowUntil until);

}  // namespace tao::cli
