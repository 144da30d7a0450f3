#include <gmock/gmock.h>

#include <algorithm>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/io/ssh.h"
#include "server/platforms/brev/brev_parse.h"

namespace tao::platforms {
namespace {

using Code = absl::StatusCode;
using testing::HasSubstr;
using testing::Not;

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

struct Row {
  const char* words;  // as brev prints them
  Code code;
  const char* advice;
};

const std::vector<Row>& Rows() {
  static const auto* const rows = new std::vector<Row>{
      {"You are currently logged out, would you like to log in? [Y/n]: EOF",
       Code::kFailedPrecondition, "credentials.json"},
      {"EOF", Code::kFailedPrecondition, "brev login"},
      {"Get \"https://x/api\": unexpected EOF", Code::kUnavailable, "try again"},
      {"status: 401 Unauthorized, body: {}", Code::kFailedPrecondition, "has expired"},
      {"could not look up instance \"docker\"", Code::kInternal, "report it"},
      {"ssh: illegal option -- -", Code::kInternal, "report it"},
      {"instance \"x\" is in state \"STOPPED\" \xE2\x80\x94 please check with: brev ls",
       Code::kFailedPrecondition, "brev start"},
      {"ssh connection failed and could not look up instance", Code::kFailedPrecondition,
       "brev ls"},
      {"could not connect to instance \"x\"", Code::kUnavailable, "brev refresh"},
      {"ssh: connect to host 1.2.3.4 port 22: Connection refused", Code::kUnavailable,
       "takes minutes"},
      {"ssh: connect to host 1.2.3.4 port 22: Operation timed out", Code::kUnavailable,
       "takes minutes"},
      {"ssh: connect to host 1.2.3.4 port 22: Connection timed out", Code::kUnavailable,
       "takes minutes"},
      {"ssh: Could not resolve hostname x: Name or service not known", Code::kFailedPrecondition,
       "brev refresh"},
      {"Can't open user config file /x/.brev/ssh_config: No such file or directory",
       Code::kFailedPrecondition, "brev refresh"},
      {"ubuntu@x: Permission denied (publickey).", Code::kFailedPrecondition, "brev.pem"},
      {"instance type \"T\" is not a recognized type", Code::kFailedPrecondition, "brev search"},
      {"instance type \"T\" is invalid or unavailable", Code::kFailedPrecondition, "brev search"},
      {"could not resolve workspace group for T", Code::kUnavailable, "again"},
      {"could only create 0/1 instances", Code::kResourceExhausted, "--instance-type"},
      {"Timeout waiting for ready state", Code::kUnavailable, "takes minutes"},
      {"SSH key not found at /root/.brev/brev.pem", Code::kFailedPrecondition, "brev login"},
      {"unknown flag: --gpu", Code::kFailedPrecondition, "brev --version"},
      {"instance \"x\" does not support stop.", Code::kFailedPrecondition, "brev delete"},
      {"instance with id/name x not found", Code::kNotFound, "brev ls"},
      {"multiple instances found with id/name x", Code::kFailedPrecondition, "by its id"},
      {"instance with id/name x is a failed workspace", Code::kFailedPrecondition, "by its id"},
      {"Get \"https://x/api\": dial tcp: lookup x: no such host", Code::kUnavailable, "DNS"},
      {"something new", Code::kUnavailable, "something new"},
  };
  return *rows;
}

TEST(BrevErrorTest, EveryTextIsAnsweredWithItsAdvice) {
  for (const Row& row : Rows()) {
    const absl::Status status = BrevError("brev failed", row.words);
    EXPECT_EQ(status.code(), row.code) << row.words;
    EXPECT_THAT(Message(status), HasSubstr(row.advice)) << row.words;
  }
}

TEST(BrevErrorTest, EveryRuleHasARow) {
  for (const BrevFailureRule& rule : BrevFailureRules()) {
    EXPECT_TRUE(std::any_of(Rows().begin(), Rows().end(), [&rule](const Row& row) {
      return base::AsciiLower(row.words).find(rule.text) != std::string::npos;
    })) << rule.text;
  }
}

TEST(BrevErrorTest, OnlyNotFoundIsGone) {
  EXPECT_EQ(BrevFailureOf("instance with id/name x not found"), BrevFailure::kNotFound);
  EXPECT_EQ(BrevFailureOf("You are currently logged out"), BrevFailure::kLoggedOut);
  EXPECT_EQ(BrevFailureOf("instance with id/name x is a failed workspace"), BrevFailure::kOther);
  EXPECT_EQ(BrevFailureOf("workspace 401abc"), BrevFailure::kOther);
  EXPECT_EQ(BrevFailureOf(""), BrevFailure::kOther);
}

TEST(BrevErrorTest, WordsAreOnOneLineWithoutColoursAndSecrets) {
  const base::Secret secret("brev-token-0123456789");
  EXPECT_EQ(
      Message(BrevError("it failed", "\x1b[31mbad\x1b[0m\n\n token brev-token-0123456789.\n")),
      "it failed: bad; token ***");
  EXPECT_EQ(Message(BrevError("it failed", "\n")), "it failed: it said nothing");
}

TEST(InstanceSshErrorTest, SaysWhatToDoWithAnInstance) {
  io::SshTarget target;
  target.host = "gpu-box";
  const auto error = [&target](std::string_view words) {
    return InstanceSshError("gpu-box", io::SshError(target, words));
  };
  const absl::Status refused =
      error("ssh: connect to host 1.2.3.4 port 22: Connection refused\r\n");
  EXPECT_EQ(refused.code(), Code::kUnavailable);
  EXPECT_THAT(Message(refused), HasSubstr("by ssh: Connection refused. An instance that was just"));
  EXPECT_THAT(Message(refused), Not(HasSubstr("VPN")));
  const absl::Status key = error("ubuntu@1.2.3.4: Permission denied (publickey).");
  EXPECT_EQ(key.code(), Code::kFailedPrecondition);
  EXPECT_THAT(Message(key), HasSubstr("brev refresh"));
  const absl::Status name =
      error("ssh: Could not resolve hostname gpu-box: Name or service not known");
  EXPECT_EQ(name.code(), Code::kFailedPrecondition);
  EXPECT_THAT(Message(name), HasSubstr("HOME"));
  EXPECT_EQ(error("bind [127.0.0.1]:8080: Address already in use").code(),
            Code::kResourceExhausted);
  EXPECT_EQ(error("client_loop: send disconnect: Broken pipe").code(), Code::kUnavailable);
  const absl::Status none = InstanceSshError("gpu-box", absl::NotFoundError("no program ssh"));
  EXPECT_EQ(none.code(), Code::kFailedPrecondition);
  EXPECT_THAT(Message(none), HasSubstr("apt-get install openssh-client"));
  EXPECT_TRUE(absl::IsCancelled(InstanceSshError("gpu-box", absl::CancelledError("x"))));
}

TEST(InstanceDockerErrorTest, ARegistryThatRefusesIsAskedForByTheKeyOfTheServer) {
  const absl::Status refused =
      InstanceDockerError("gpu-box", "image x could not be pulled", 1,
                          "Error response from daemon: unauthorized: authentication required");
  EXPECT_EQ(refused.code(), Code::kPermissionDenied);
  EXPECT_THAT(Message(refused), HasSubstr("export NGC_KEY=..."));
  EXPECT_THAT(Message(refused), Not(HasSubstr("log in on this host")));
  const absl::Status toolkit = InstanceDockerError(
      "gpu-box", "it could not be started", 125,
      "docker: Error response from daemon: could not select device driver \"\" with "
      "capabilities: [[gpu]].");
  EXPECT_THAT(Message(toolkit), HasSubstr("on instance \"gpu-box\""));
  EXPECT_THAT(Message(toolkit), HasSubstr("NVIDIA Container Toolkit"));
}

}  // namespace
}  // namespace tao::platforms
