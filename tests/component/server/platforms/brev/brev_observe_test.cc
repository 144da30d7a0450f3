// What Observe says, how little it asks for it, and how long it holds its caller.

#include <atomic>

#include "server/base/strings.h"
#include "tests/component/server/platforms/brev/brev_world.h"

namespace tao::platforms {
namespace {

using State = PlatformState::State;
using testing::HasSubstr;

std::string JobId(int number) {
  std::string job_id = kJobId;
  return job_id.replace(job_id.size() - 2, 2, std::to_string(10 + number));
}

PlatformJob Job(int number) {
  return {.job_id = JobId(number),
          .host_port = 1,
          .instance_port = 8080,
          .driver_state = {{"instance_name", "gpu-box"}, {"instance_id", "id-1"}}};
}

class BrevObserveTest : public testing::Test {
 protected:
  BrevObserveTest() {
    world_.Write("instances", World::Listing("gpu-box", "RUNNING"));
    for (int number = 0; number < 8; ++number) world_.AddContainer(JobId(number));
  }

  BrevConfig Config() {
    BrevConfig config = world_.Config(tunnels_);
    config.looks = {.fresh = absl::Seconds(60), .patience = absl::Seconds(5)};
    return config;
  }
  BrevConfig Impatient() {
    BrevConfig config = Config();
    config.looks.patience = absl::Milliseconds(100);
    config.look_limit = absl::Seconds(2);
    return config;
  }
  // Until it is known, 20 s at most.
  static absl::StatusOr<PlatformState> Known(BrevPlatform& brev, const PlatformJob& job) {
    const absl::Time limit = absl::Now() + absl::Seconds(20);
    absl::StatusOr<PlatformState> state = brev.Observe(job);
    while (!state.ok() && absl::Now() < limit) state = brev.Observe(job);
    return state;
  }

  World world_;
  Tunnels tunnels_;
};

TEST_F(BrevObserveTest, ServicesOfOneInstanceShareARoundTrip) {
  BrevPlatform brev(Config());
  std::vector<std::thread> threads;
  std::atomic<int> running = 0;
  for (int number = 0; number < 8; ++number) {
    threads.emplace_back([&, number] {
      const auto state = brev.Observe(Job(number));
      running += state.ok() && state->state == State::kRunning;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(running, 8);
  EXPECT_EQ(world_.Count("brev ls"), 1);
  EXPECT_EQ(world_.Count("ssh "), 1);
  EXPECT_EQ(brev.Observe(Job(0))->state, State::kRunning);
  EXPECT_EQ(world_.Count("brev ls"), 2) << "who asks again at once wants news";
}

TEST_F(BrevObserveTest, WhatWasStartedAMomentAgoIsNotGone) {
  BrevPlatform brev(Config());
  EXPECT_EQ(brev.Observe(Job(0))->state, State::kRunning);
  world_.AddContainer(JobId(70));
  EXPECT_EQ(brev.Observe(Job(70))->state, State::kRunning);
}

TEST_F(BrevObserveTest, AnEndIsSeenAtTheNextQuestion) {
  BrevPlatform brev(Config());
  EXPECT_EQ(brev.Observe(Job(0))->state, State::kRunning);
  world_.AddContainer(JobId(0), "exited");
  EXPECT_EQ(brev.Observe(Job(0))->state, State::kExited);
  world_.Remove("containers/" + JobId(0));
  EXPECT_EQ(brev.Observe(Job(0))->state, State::kGone);
}

TEST_F(BrevObserveTest, ABrevThatHangsHoldsNobodyForLong) {
  BrevPlatform brev(Impatient());
  world_.Hang("brev ls");
  const absl::Time begin = absl::Now();
  for (int number = 0; number < 8; ++number) {
    EXPECT_TRUE(absl::IsUnavailable(brev.Observe(Job(number)).status()));
  }
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_LE(world_.Count("brev ls"), 4) << "one at a time, each until its limit";
  world_.Resume();
  EXPECT_EQ(Known(brev, Job(0))->state, State::kRunning);
}

TEST_F(BrevObserveTest, AnInstanceThatHangsHoldsNobodyForLong) {
  BrevPlatform brev(Impatient());
  world_.Hang("docker ps");
  const absl::Status hangs = brev.Observe(Job(0)).status();
  EXPECT_TRUE(absl::IsUnavailable(hangs));
  EXPECT_THAT(std::string(base::ToStd(hangs.message())), HasSubstr("instance \"gpu-box\""));
  const absl::Time begin = absl::Now();
  for (int times = 0; times < 20; ++times) EXPECT_FALSE(brev.Observe(Job(1)).ok());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  world_.Resume();
  EXPECT_EQ(Known(brev, Job(0))->state, State::kRunning);
}

TEST_F(BrevObserveTest, ADriverThatEndsWaitsForNoHangingProgram) {
  world_.Hang("brev ls");
  const absl::Time begin = absl::Now();
  {
    BrevConfig config = Impatient();
    config.look_limit = absl::Seconds(60);
    BrevPlatform brev(config);
    EXPECT_FALSE(brev.Observe(Job(0)).ok());
  }
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

TEST_F(BrevObserveTest, WhatCannotBeAskedIsNotGone) {
  BrevConfig config = Config();
  config.looks.fresh = absl::ZeroDuration();
  BrevPlatform brev(config);
  const auto asked = [&brev] {
    const absl::Status status = brev.Observe(Job(0)).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    return std::string(base::ToStd(status.message()));
  };
  world_.Write("ssh-down", "");
  EXPECT_THAT(asked(), HasSubstr("Connection refused"));
  world_.Remove("ssh-down");
  EXPECT_EQ(brev.Observe(Job(0))->state, State::kRunning);
  world_.Write("instances", R"({"workspaces":null})");
  EXPECT_THAT(asked(), HasSubstr("brev does not list instance")) << "another login lists others";
  world_.Write("instances", "You are currently logged out");
  EXPECT_THAT(asked(), HasSubstr("logged out"));
  world_.Write("instances", World::Listing("gpu-box", "REBOOTING"));
  EXPECT_THAT(asked(), HasSubstr("REBOOTING")) << "a word that nobody knows";
}

struct InstanceRow {
  const char* status;
  State state;
};

TEST_F(BrevObserveTest, AnInstanceThatDoesNotRunIsNotAsked) {
  for (const InstanceRow& row :
       {InstanceRow{"STOPPED", State::kFailed}, InstanceRow{"STOPPING", State::kFailed},
        InstanceRow{"STARTING", State::kPending}, InstanceRow{"DEPLOYING", State::kPending},
        InstanceRow{"DELETING", State::kGone}, InstanceRow{"FAILURE", State::kFailed}}) {
    BrevPlatform brev(Config());
    world_.Write("instances", World::Listing("gpu-box", row.status));
    EXPECT_EQ(brev.Observe(Job(0))->state, row.state) << row.status;
  }
  EXPECT_EQ(world_.Count("ssh "), 0);
}

}  // namespace
}  // namespace tao::platforms
