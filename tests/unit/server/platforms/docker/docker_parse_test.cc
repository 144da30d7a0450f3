#include "server/platforms/docker/docker_parse.h"

#include <gmock/gmock.h>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParseContainersTest, ReadsOneLineForEach) {
  const auto found = ParseContainers(
      R"({"name":"/a","status":"running","exit_code":0,"oom_killed":false,"error":"",)"
      R"("labels":{"tao-job":"a","tao-daemon":"d"},)"
      R"("ports":{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"8083"}]}})"
      "\n\n[]\n"
      R"({"name":"/b","status":"exited","exit_code":3,"oom_killed":true,"error":"x",)"
      R"("labels":null,"ports":null})"
      "\n");
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ(found->at(0).name, "a");
  EXPECT_EQ(found->at(0).status, "running");
  EXPECT_EQ(found->at(0).host_port, 8083);
  EXPECT_EQ(found->at(0).labels.at("tao-daemon"), "d");
  EXPECT_EQ(found->at(1).exit_code, 3);
  EXPECT_TRUE(found->at(1).oom_killed);
  EXPECT_EQ(found->at(1).host_port, 0);
  EXPECT_TRUE(found->at(1).labels.empty());
}

TEST(ParseContainersTest, APortThatIsNoneIsNotGuessed) {
  for (const char* ports :
       {R"({})", R"({"8080/tcp":[]})", R"({"8080/tcp":null})", R"({"8080/tcp":["x"]})",
        R"({"8080/tcp":[{"HostPort":""}]})", R"({"8080/tcp":[{"HostPort":"99999"}]})",
        R"({"8081/tcp":[{"HostPort":"8083"}]})"}) {
    const auto found =
        ParseContainers(std::string(R"({"name":"/a","status":"running","ports":)") + ports + "}");
    ASSERT_TRUE(found.ok()) << ports;
    EXPECT_EQ(found->at(0).host_port, 0) << ports;
  }
}

TEST(ParseContainersTest, WhatCannotBeReadIsNeverAnAnswer) {
  for (const char* output : {"running", "{\"name\":\"/a\"}", "[1]", "{"}) {
    EXPECT_EQ(ParseContainers(output).status().code(), absl::StatusCode::kUnavailable) << output;
  }
  EXPECT_TRUE(ParseContainers("\n")->empty());
}

struct StateRow {
  const char* status;
  int exit_code;
  bool oom_killed;
  const char* error;
  State state;
  const char* detail;
};

TEST(ToPlatformStateTest, FollowsTheTableOfTheEngine) {
  for (const StateRow& row : std::vector<StateRow>{
           {"created", 0, false, "", State::kPending, "created"},
           {"created", 128, false, "no such device", State::kFailed, "no such device"},
           {"restarting", 1, false, "", State::kPending, "restarting"},
           {"running", 0, false, "", State::kRunning, ""},
           {"paused", 0, false, "", State::kRunning, "paused"},
           {"removing", 0, false, "", State::kPending, "removing"},
           {"exited", 0, false, "", State::kExited, "exit status 0"},
           {"exited", 1, false, "", State::kFailed, "exit status 1"},
           {"exited", 137, true, "", State::kFailed, "out of memory (OOMKilled)"},
           {"exited", 137, false, "", State::kFailed, "SIGKILL"},
           {"exited", 143, false, "", State::kFailed, "SIGTERM"},
           {"exited", 126, false, "", State::kFailed, "could not be executed"},
           {"exited", 127, false, "", State::kFailed, "not in the image"},
           {"dead", 0, false, "", State::kFailed, "dead"},
       }) {
    ContainerFacts facts;
    facts.status = row.status;
    facts.exit_code = row.exit_code;
    facts.oom_killed = row.oom_killed;
    facts.error = row.error;
    const PlatformState state = ToPlatformState(facts);
    EXPECT_EQ(state.state, row.state) << row.status << " " << row.exit_code;
    EXPECT_THAT(state.detail, HasSubstr(row.detail));
  }
}

TEST(ParseNetworkTest, IdsOfExactlyThatNameInOneOrder) {
  const std::vector<std::string> ids = ParseNetworkIds(
      "bb tao_default\ncc my_tao_default\naa tao_default\n\ndd bridge\n", "tao_default");
  EXPECT_EQ(ids, (std::vector<std::string>{"aa", "bb"}));
  EXPECT_TRUE(ParseNetworkIds("", "tao_default").empty());
}

TEST(ParseNetworkTest, SaysWhoseItIsAndWhetherItIsUsed) {
  const auto ours = ParseNetwork("{\"labels\":{\"tao-daemon\":\"d\"},\"endpoints\":2}\n");
  ASSERT_TRUE(ours.ok()) << ours.status();
  EXPECT_EQ(ours->daemon_id, "d");
  EXPECT_EQ(ours->endpoints, 2);
  const auto other = ParseNetwork("{\"labels\":null,\"endpoints\":0}");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->daemon_id, "");
  EXPECT_FALSE(ParseNetwork("").ok());
  EXPECT_FALSE(ParseNetwork("{\"labels\":{}}").ok());
}

TEST(CheckDockerVersionTest, TwentyTenIsTheOldest) {
  EXPECT_TRUE(CheckDockerVersion("Docker version 28.2.2, build e6534b4\n").ok());
  EXPECT_TRUE(CheckDockerVersion("Docker version 20.10.24+dfsg1, build 297e128\n").ok());
  const absl::Status old = CheckDockerVersion("Docker version 19.03.9, build x");
  EXPECT_TRUE(absl::IsFailedPrecondition(old));
  EXPECT_THAT(std::string(old.message()), HasSubstr("19.3, and 20.10"));
  EXPECT_THAT(std::string(CheckDockerVersion("podman version 4.3.1").message()),
              HasSubstr("apt-get install docker.io"));
}

TEST(ParseHasNvidiaRuntimeTest, IsAKeyOfTheRuntimes) {
  EXPECT_TRUE(*ParseHasNvidiaRuntime("{\"nvidia\":{\"path\":\"x\"},\"runc\":{}}\n"));
  EXPECT_FALSE(*ParseHasNvidiaRuntime("{\"runc\":{\"path\":\"nvidia\"}}"));
  EXPECT_FALSE(ParseHasNvidiaRuntime("null").ok());
  EXPECT_FALSE(ParseHasNvidiaRuntime("").ok());
}

TEST(ParseTakenGpusTest, AllLabelsTogether) {
  EXPECT_THAT(ParseTakenGpus("0,2\n\n3\n"), ElementsAre("0", "2", "3"));
  EXPECT_TRUE(ParseTakenGpus("").empty());
}

TEST(PullProgressTest, CountsLayersAndNothingElse) {
  PullProgress pull("nvcr.io/x:1");
  EXPECT_EQ(pull.progress().message, "pulling nvcr.io/x:1");
  EXPECT_FALSE(pull.OnLine("1: Pulling from x"));
  EXPECT_FALSE(pull.OnLine("012345678901: Pulling from x"));
  EXPECT_TRUE(pull.OnLine("a3ed95caeb02: Pulling fs layer"));
  EXPECT_TRUE(pull.OnLine("b3ed95caeb02: Already exists"));
  EXPECT_FALSE(pull.OnLine("a3ed95caeb02: Download complete"));
  EXPECT_EQ(pull.progress().message, "pulling nvcr.io/x:1: 1 of 2 layers");
  EXPECT_TRUE(pull.OnLine("a3ed95caeb02: Pull complete"));
  EXPECT_FALSE(pull.OnLine("Digest: sha256:0123"));
  EXPECT_EQ(pull.progress(),
            (registry::Progress{"pulling_image", "pulling nvcr.io/x:1: 2 of 2 layers"}));
}

}  // namespace
}  // namespace tao::platforms
