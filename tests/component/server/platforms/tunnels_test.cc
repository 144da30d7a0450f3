// Tunnels with a small Python program that listens where it is told to.

#include "server/platforms/tunnels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <fstream>

#include "server/io/errno_status.h"
#include "server/io/file.h"
#include "server/platforms/port_check.h"
#include "tests/component/server/registry/temporary_folder.h"

namespace tao::platforms {
namespace {

using testing::HasSubstr;

constexpr char kListener[] =
    "import socket,sys,os,signal\n"
    "s=socket.create_server(('127.0.0.1',int(sys.argv[1])))\n"
    "open(sys.argv[2],'w').write(str(os.getpid()))\n"
    "signal.pause()\n";

// A port that was free a moment ago.
int FreePort() {
  const io::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

class TunnelsTest : public testing::Test {
 protected:
  TunnelSpec Listener() {
    return {.argv = {"/usr/bin/python3", "-c", kListener, std::to_string(port_), PidFile()},
            .unset_env = {},
            .local_port = port_,
            .explain = nullptr};
  }
  std::string PidFile() const { return folder_.path() + "/pid"; }
  pid_t Pid() const {
    pid_t pid = 0;
    std::ifstream(PidFile()) >> pid;
    return pid;
  }
  // Until it is so; false after 5 s.
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(5);
    while (!condition()) {
      if (absl::Now() > deadline) return false;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return true;
  }

  const int port_ = FreePort();
  registry::TemporaryFolder folder_;
  base::CancelToken cancel_;
  Tunnels tunnels_{{.first = absl::Milliseconds(10), .longest = absl::Milliseconds(50)}};
};

TEST_F(TunnelsTest, OpensAndCloses) {
  ASSERT_TRUE(tunnels_.Open("a", Listener(), absl::Seconds(5), cancel_).ok());
  EXPECT_TRUE(tunnels_.StateOf("a").ok());
  const absl::Status taken = CheckPortIsFree(port_);
  EXPECT_TRUE(absl::IsResourceExhausted(taken)) << taken;
  tunnels_.Close("a");
  EXPECT_TRUE(CheckPortIsFree(port_).ok());
  EXPECT_TRUE(absl::IsNotFound(tunnels_.StateOf("a")));
  tunnels_.Close("a");
}

TEST_F(TunnelsTest, OpenAgainKeepsTheOneThatIsOpen) {
  ASSERT_TRUE(tunnels_.Open("a", Listener(), absl::Seconds(5), cancel_).ok());
  ASSERT_TRUE(Eventually([this] { return Pid() != 0; }));
  const pid_t first = Pid();
  ASSERT_TRUE(tunnels_.Open("a", Listener(), absl::Seconds(5), cancel_).ok());
  EXPECT_EQ(Pid(), first);
}

TEST_F(TunnelsTest, OneThatDiesIsOpenedAgain) {
  ASSERT_TRUE(tunnels_.Open("a", Listener(), absl::Seconds(5), cancel_).ok());
  ASSERT_TRUE(Eventually([this] { return Pid() != 0; }));
  const pid_t first = Pid();
  ASSERT_EQ(kill(first, SIGKILL), 0);
  EXPECT_TRUE(Eventually([this, first] { return Pid() != 0 && Pid() != first; }));
  EXPECT_TRUE(Eventually([this] { return tunnels_.StateOf("a").ok(); }));
}

TEST_F(TunnelsTest, ATakenPortIsSaid) {
  ASSERT_TRUE(tunnels_.Open("a", Listener(), absl::Seconds(5), cancel_).ok());
  const absl::Status status = tunnels_.Open("b", Listener(), absl::Seconds(5), cancel_);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(absl::IsNotFound(tunnels_.StateOf("b")));
}

TEST_F(TunnelsTest, WhatTheProgramSaysIsExplained) {
  TunnelSpec spec = Listener();
  spec.argv = {"/bin/sh", "-c", "echo nobody home >&2; exit 3"};
  EXPECT_THAT(std::string(tunnels_.Open("a", spec, absl::Seconds(5), cancel_).message()),
              HasSubstr("nobody home"));
  spec.explain = [](std::string_view) { return absl::FailedPreconditionError("ask the admin"); };
  EXPECT_TRUE(absl::IsFailedPrecondition(tunnels_.Open("a", spec, absl::Seconds(5), cancel_)));
}

TEST_F(TunnelsTest, OneThatNeverListensTimesOut) {
  TunnelSpec spec = Listener();
  spec.argv = {"/bin/sleep", "100"};
  EXPECT_TRUE(absl::IsDeadlineExceeded(tunnels_.Open("a", spec, absl::Milliseconds(50), cancel_)));
}

TEST_F(TunnelsTest, OpeningCanBeCancelled) {
  TunnelSpec spec = Listener();
  spec.argv = {"/bin/sleep", "100"};
  cancel_.Cancel();
  EXPECT_TRUE(absl::IsCancelled(tunnels_.Open("a", spec, absl::Seconds(5), cancel_)));
}

TEST_F(TunnelsTest, AnAdoptedOneIsTriedUntilItListens) {
  const std::string gate = folder_.path() + "/gate";
  TunnelSpec spec = Listener();
  spec.argv = {"/bin/sh",
               "-c",
               "test -e \"$3\" || exit 1; exec /usr/bin/python3 -c \"$0\" \"$1\" \"$2\"",
               kListener,
               std::to_string(port_),
               PidFile(),
               gate};
  tunnels_.Adopt("a", spec);
  EXPECT_TRUE(Eventually([this] {
    return std::string(tunnels_.StateOf("a").message()).find("exit code 1") != std::string::npos;
  }));
  std::ofstream(gate).put('x');
  EXPECT_TRUE(Eventually([this] { return tunnels_.StateOf("a").ok(); }));
}

}  // namespace
}  // namespace tao::platforms
