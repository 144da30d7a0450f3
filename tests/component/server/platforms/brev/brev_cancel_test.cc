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

// The next daemon goes on with it.
TEST_F(BrevLifeTest, TheDaemonsEndIsNotHeldUpByAStop) {
  const absl::StatusOr<PlatformJob> job = brev_.Launch(Plan(), session_);
  ASSERT_TRUE(job.ok()) << job.status();
  for (const char* hangs :
       {"brev ls", "docker inspect", "docker stop", "docker rm", "brev delete"}) {
    world_.Remove("hanging");
    world_.Hang(hangs);
    Session stop;
    absl::Status stopped;
    std::thread thread([&] { stopped = brev_.Stop(*job, {}, stop); });
    EXPECT_TRUE(world_.WaitForHanging()) << hangs;
    const absl::Time begin = absl::Now();
    world_.Resume();
    stop.token.Cancel();
    thread.join();
    EXPECT_TRUE(absl::IsCancelled(stopped)) << hangs << ": " << stopped;
    EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  }
  Session next;
  EXPECT_TRUE(brev_.Stop(*job, {}, next).ok());
  EXPECT_THAT(world_.Read("instances"), HasSubstr("null"));
}

// What is published for all is dialled at the instance's address once that takes a connection; else
// by a tunnel.
TEST_F(BrevLifeTest, AnAddressThatTakesNoConnectionIsNotUsed) {
  launch::LaunchPlan plan = Plan();
  plan.platform_options = {{"publish-address", "0.0.0.0"}};
  for (const bool reachable : {false, true}) {
    const io::UniqueFd instance(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(bind(instance.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(getsockname(instance.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    if (reachable) {
      ASSERT_EQ(listen(instance.get(), 1), 0);
    }
    world_.Write("hostname", "localhost");  // a name, which is looked up
    Session session(FreePort());
    session.instance_port = ntohs(address.sin_port);
    const absl::StatusOr<PlatformJob> job = brev_.Launch(plan, session);
    ASSERT_TRUE(job.ok()) << job.status();
    const Platform::Endpoint endpoint = brev_.EndpointOf(*job);
    EXPECT_EQ(endpoint.backend.port, reachable ? session.instance_port : job->host_port);
    EXPECT_EQ(absl::IsNotFound(tunnels_.StateOf(kJobId)), reachable);
    Session stop;
    EXPECT_TRUE(brev_.Stop(*job, {}, stop).ok());
  }
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
