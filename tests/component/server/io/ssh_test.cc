// RunSsh against a program that stands in for ssh: it prints a banner, and runs what it is asked to
// on this host. The real ssh is in the slurm platform's tests.

#include "server/io/ssh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/component/server/registry/temporary_folder.h"

namespace tao::io {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class SshTest : public testing::Test {
 protected:
  // The stand-in's body; $command is the remote command.
  void StandIn(const std::string& body) {
    target_.program = folder_.path() + "/ssh";
    std::ofstream(target_.program) << "#!/bin/bash\nfor command; do :; done\n" << body << "\n";
    ASSERT_EQ(chmod(target_.program.c_str(), 0700), 0);
  }

  registry::TemporaryFolder folder_;
  SshTarget target_ = {.user = "me", .host = "login1"};
};

TEST_F(SshTest, ArgvNeverAsks) {
  target_.identity_file = "/keys/id";
  target_.config_file = "/conf";
  target_.options = {"ControlMaster=no"};
  EXPECT_THAT(
      SshArgv(target_, {"-N"}),
      ElementsAre("ssh", "-T", "-F", "/conf", "-o", "BatchMode=yes", "-o",
                  "PasswordAuthentication=no", "-o", "PreferredAuthentications=publickey", "-o",
                  "ConnectTimeout=15", "-o", "StrictHostKeyChecking=yes", "-o", "ControlMaster=no",
                  "-i", "/keys/id", "-o", "IdentitiesOnly=yes", "-N", "--", "me@login1"));
}

TEST_F(SshTest, AForwardListensOnLoopbackAndEndsWhenItCannot) {
  const std::vector<std::string> argv = SshForwardArgv(target_, 8081, "node1:8080");
  EXPECT_EQ(argv.back(), "me@login1");
  for (const char* wanted :
       {"-N", "127.0.0.1:8081:node1:8080", "ExitOnForwardFailure=yes", "ServerAliveInterval=15",
        "ControlPath=none", "StrictHostKeyChecking=yes", "BatchMode=yes"}) {
    EXPECT_THAT(argv, Contains(wanted));
  }
}

TEST_F(SshTest, OutputIsTheCommandsOwn) {
  StandIn("echo 'Welcome to the cluster'; sh -c \"$command\"");
  const auto result = RunSsh(target_, {.command = "echo one; printf two; echo err >&2"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 0);
  EXPECT_EQ(result->out, "one\ntwo\n");
  EXPECT_EQ(result->err, "err\n");
}

TEST_F(SshTest, ACommandMayEndWith255) {
  StandIn("sh -c \"$command\"");
  const auto result = RunSsh(target_, {.command = "echo \"it's\" bad >&2; exit 255"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 255);
  EXPECT_EQ(result->err, "it's bad\n");
}

TEST_F(SshTest, StdinReachesTheCommand) {
  StandIn("sh -c \"$command\"");
  const auto result = RunSsh(target_, {.command = "tr a-z A-Z", .stdin_text = "secret\n"});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->out, "SECRET\n");
}

TEST_F(SshTest, AnyLoginShellPassesTheCommandOn) {
  // What csh says of a line end and of an exclamation mark, between quotes too.
  StandIn(R"(case "$command" in *$'\n'* | *'!'*) echo "Unmatched '''." >&2; exit 1 ;; esac
             sh -c "$command")");
  const auto result = RunSsh(target_, {.command = "for i in 1 2; do\n  echo \"it's $i!\"\ndone\n"
                                                  "sleep 0 & wait $!; printf '%s\\t%%\\n' '\\0'"});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->out, "it's 1!\nit's 2!\n\\0\t%\n");
}

TEST_F(SshTest, ABrokenConnectionIsNoAnswerOfTheCommand) {
  StandIn("echo banner; echo 'Connection to login1 closed by remote host.' >&2; exit 255");
  const auto result = RunSsh(target_, {.command = "true"});
  EXPECT_TRUE(absl::IsUnavailable(result.status()));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("closed by remote host"));
}

TEST_F(SshTest, ACommandThatWasCutOffHasNoExitCode) {
  StandIn("sh -c \"$command\" | head -n 2; exit 255");
  const auto result = RunSsh(target_, {.command = "echo half; exit 0"});
  EXPECT_TRUE(absl::IsUnavailable(result.status()));
}

struct FailureCase {
  const char* err;
  SshFailure failure;
  absl::StatusCode code;
  const char* advice;
};

class SshFailureTest : public testing::TestWithParam<FailureCase> {};

TEST_P(SshFailureTest, HasItsAdvice) {
  EXPECT_EQ(SshFailureOf(GetParam().err), GetParam().failure);
  const absl::Status status = SshError({.user = "u", .host = "h"}, GetParam().err);
  EXPECT_EQ(status.code(), GetParam().code);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().advice));
}

constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

INSTANTIATE_TEST_SUITE_P(
    Texts, SshFailureTest,
    testing::ValuesIn<FailureCase>({
        {"u@h: Permission denied (publickey).", SshFailure::kPermissionDenied, kPrecondition,
         "ssh-add -l"},
        {"Host key verification failed.", SshFailure::kHostKeyUnknown, kPrecondition,
         "add it once by hand"},
        {"@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
         SshFailure::kHostKeyChanged, kPrecondition, "CHANGED"},
        {"ssh: Could not resolve hostname h: Name or service not known", SshFailure::kUnresolved,
         kPrecondition, "VPN"},
        {"ssh: connect to host h port 22: Connection refused", SshFailure::kRefused, kUnavailable,
         "Is the host up"},
        {"ssh: connect to host h port 22: Connection timed out", SshFailure::kTimedOut,
         kUnavailable, "VPN"},
        {"bind [127.0.0.1]:8081: Address already in use\nCould not request local forwarding.",
         SshFailure::kPortTaken, absl::StatusCode::kResourceExhausted, "local port"},
        {"channel 2: open failed: administratively prohibited: open failed",
         SshFailure::kForwardingRefused, kPrecondition, "AllowTcpForwarding"},
        {"something new", SshFailure::kOther, kUnavailable, "something new"},
    }));

}  // namespace
}  // namespace tao::io
