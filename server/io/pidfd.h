#pragma once

// Processes as file descriptors, which become readable when the process has ended.

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "server/io/file.h"

namespace tao::io {

// Close-on-exec. Invalid, with errno ESRCH when there is no such process. By the system call: the
// header <sys/pidfd.h> of glibc 2.36 declares the function without extern "C".
inline UniqueFd OpenPidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

}  // namespace tao::io
