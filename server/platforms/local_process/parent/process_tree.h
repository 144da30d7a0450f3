#pragma once

// The processes below this one, which is their subreaper: whoever loses its parent becomes our
// child, so that nothing the job started can get lost. Single thread.

#include <sys/types.h>

#include <vector>

namespace tao::process_parent {

// Our children but `except`, by /proc. Reaps those that have ended, and leaves them out.
std::vector<pid_t> LivingChildren(pid_t except);

}  // namespace tao::process_parent
