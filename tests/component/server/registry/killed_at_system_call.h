#pragma once

#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

namespace tao::registry {

// Runs `prepare`, then `act`, in a child, which is killed at the `stop`-th boundary of a system
// call of `act`. Returns false when `act` has fewer of them, and came to its end. Both return
// whether they went well.
inline bool KilledAtSystemCall(int stop, const std::function<bool()>& prepare,
                               const std::function<bool()>& act) {
  const pid_t child = fork();
  if (child == 0) {
    if (!prepare() || ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    raise(SIGSTOP);
    _exit(act() ? 0 : 2);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSTOPPED(status)) << status;
  for (int boundary = 0; WIFSTOPPED(status); ++boundary) {
    if (boundary == stop) {
      kill(child, SIGKILL);
    } else {
      EXPECT_EQ(ptrace(PTRACE_SYSCALL, child, nullptr, nullptr), 0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
  }
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << status;
  return WIFSIGNALED(status);
}

}  // namespace tao::registry
