// Stop during Start, in every phase of it; and starts and stops that are repeated.

#include <netinet/in.h>
#include <sys/socket.h>

#include "server/io/file.h"
#include "tests/component/server/platforms/brev/brev_world.h"

namespace tao::platforms {
namespace {

using testing::HasSubstr;

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

launch::LaunchPlan Plan() {
  launch::LaunchPlan plan;
  plan.job_id = kJobId;
  plan.image = "nvcr.io/x:1";
  plan.inner_command = launch::InnerCommand({"serve"}, std::nullopt);
  plan.gpus = {.mode = launch::GpuMode::kAuto, .count = 1, .ids = {}};
  return plan;
}

PlatformJob JobOf(const Session& session) {
  return {.job_id = kJobId,
          .host_port = session.host_port(),
          .instance_port = session.instance_port,
          .driver_state = session.saved};
}

struct Phase {
  const char* name;
  const char* hangs;  // in the command line of the program that never ends
};

class StopDuringStartTest : public testing::TestWithParam<Phase> {};

TEST_P(StopDuringStartTest, EndsItAtOnceAndLeavesNothing) {
  World world;
  Tunnels tunnels;
  BrevPlatform brev(world.Config(tunnels));
  Session session(FreePort());
  world.Hang(GetParam().hangs);
  absl::Status ended;
  absl::Time end;
  std::thread launch([&] {
    ended = brev.Launch(Plan(), session).status();
    end = absl::Now();
  });
  EXPECT_TRUE(world.WaitForHanging());
  const absl::Time cancelled = absl::Now();
  world.Resume();  // what hangs goes on hanging
  session.token.Cancel();
  launch.join();
  EXPECT_TRUE(absl::IsCancelled(ended)) << ended;
  EXPECT_LT(end - cancelled, absl::Seconds(5));

  Session stop;
  EXPECT_TRUE(brev.Stop(JobOf(session), {}, stop).ok());
  EXPECT_THAT(world.Read("instances"), HasSubstr("null"));
  EXPECT_TRUE(std::filesystem::is_empty(world.Path("containers")));
  EXPECT_TRUE(absl::IsNotFound(tunnels.StateOf(kJobId)));
}

INSTANTIATE_TEST_SUITE_P(Phases, StopDuringStartTest,
                         testing::ValuesIn<Phase>({
                             {"TheListOfInstances", "brev ls"},
                             {"TheListOfTypes", "brev search"},
                             {"TheFlagsOfCreate", "brev create --help"},
                             {"TheInstance", "brev create tao-"},
                             {"SshsConfiguration", "brev refresh"},
                             {"TheAddress", "ssh -G"},
                             {"TheFirstCommand", "echo ok"},
                             {"AContainerOfOurName", "docker inspect"},
                             {"TheImage", "docker image"},
                             {"ThePull", "docker pull"},
                             {"TheGpus", "nvidia-smi --query"},
                             {"TheGpusThatOthersHave", "docker ps"},
                             {"TheContainer", "docker run"},
                             {"TheTunnel", "ExitOnForwardFailure"},
                         }),
                         [](const auto& phase) { return phase.param.name; });

class BrevLifeTest : public testing::Test {
 protected:
  World world_;
  Tunnels tunnels_;
  BrevPlatform brev_{world_.Config(tunnels_)};
  Session session_{FreePort()};
};

TEST_F(BrevLifeTest, ARepeatedStartFindsWhatRunsAndARepeatedStopFindsNothing) {
  const absl::StatusOr<PlatformJob> first = brev_.Launch(Plan(), session_);
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::StatusOr<PlatformJob> again = brev_.Launch(Plan(), session_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->driver_state, first->driver_state);
  EXPECT_EQ(world_.Count("brev create tao-"), 1);
  EXPECT_EQ(world_.Count("docker run"), 1);
  for (int times = 0; times < 2; ++times) {
    Session stop;
    EXPECT_TRUE(brev_.Stop(*first, {}, stop).ok());
    EXPECT_THAT(world_.Read("instances"), HasSubstr("null"));
  }
  EXPECT_EQ(world_.Count("brev delete"), 1);
}

// brev exec and copy start (and bill) an instance that is stopped, and so does brev start.
TEST_F(BrevLifeTest, NothingThatStartsAnInstanceIsEverCalled) {
  world_.Write("instances", World::Listing("gpu-box", "STOPPED"));
  launch::LaunchPlan plan = Plan();
  plan.platform_options = {{"instance-id", "gpu-box"}};
  const absl::Status refused = brev_.Launch(plan, session_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_FALSE(brev_.Check({.options = plan.platform_options}, absl::Seconds(5)).empty());
  Session stop;
  EXPECT_TRUE(brev_.Stop(JobOf(session_), {}, stop).ok());
  for (const char* command : {"exec", "copy", "start", "stop", "delete", "create"}) {
    EXPECT_EQ(world_.Count(std::string("brev ") + command), 0) << command;
  }
  EXPECT_EQ(world_.Count("ssh "), 0);
}

}  // namespace
}  // namespace tao::platforms
