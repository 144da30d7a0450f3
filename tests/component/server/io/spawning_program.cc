// A process that starts `sleep` through Subprocess from a thread that then ends, prints the pid of
// sleep, and waits to be killed: what the daemon is to its helper programs.
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "server/io/subprocess.h"

int main() {
  absl::StatusOr<tao::io::Subprocess> child = absl::UnknownError("not started");
  std::thread([&child] { child = tao::io::Subprocess::Spawn({.argv = {"sleep", "1000"}}); }).join();
  if (!child.ok()) return 1;
  std::printf("%d\n", child->pid());
  std::fflush(stdout);
  pause();
}
