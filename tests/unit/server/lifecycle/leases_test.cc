#include "server/lifecycle/leases.h"

#include <gmock/gmock.h>

#include <thread>

#include "server/lifecycle/port_lock.h"

namespace tao::lifecycle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr PortWish kOnly8080 = {.first = 8080, .last = 8080};

registry::ServiceRecord Holder(const std::string& job_id, int port, std::vector<std::string> gpus) {
  registry::ServiceRecord record;
  record.job_id = job_id;
  record.host_port = port;
  record.gpu_ids = std::move(gpus);
  return record;
}

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

TEST(LeasesTest, LowestPortThatNobodyHolds) {
  Leases leases([](const std::string&) { return std::set<int>{8081}; });
  leases.Restore(Holder("old", 8080, {}));
  EXPECT_EQ(*leases.AcquirePort("a", {}, {}), 8082);
  EXPECT_EQ(*leases.AcquirePort("b", {}, {8083}), 8084);
  leases.Release("old");
  EXPECT_EQ(*leases.AcquirePort("c", {}, {}), 8080);
}

TEST(LeasesTest, ForeignRecordsHoldNothing) {
  Leases leases(nullptr);
  registry::ServiceRecord foreign = Holder("foreign", 8080, {"0"});
  foreign.foreign = true;
  leases.Restore(foreign);
  EXPECT_EQ(*leases.AcquirePort("a", {}, {}), 8080);
}

TEST(LeasesTest, RefusedPortIsGivenBackForTheNext) {
  Leases leases(nullptr);
  EXPECT_EQ(*leases.AcquirePort("a", {}, {}), 8080);
  EXPECT_EQ(*leases.AcquirePort("a", {}, {8080}), 8081);
  EXPECT_EQ(*leases.AcquirePort("a", {}, {8080, 8081}), 8082);
  EXPECT_EQ(*leases.AcquirePort("b", {}, {}), 8080) << "a holds one port, not three";
}

TEST(LeasesTest, OnlyPortIsTakenAndSaysByWhom) {
  Leases leases([](const std::string&) { return std::set<int>(); });
  ASSERT_TRUE(leases.AcquirePort("a", kOnly8080, {}).ok());
  const absl::Status status = leases.AcquirePort("b", kOnly8080, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(MessageOf(status), HasSubstr("port 8080 is held by service a"));
  EXPECT_THAT(MessageOf(leases.AcquirePort("a", kOnly8080, {8080}).status()),
              HasSubstr("another program"));
  Leases beside([](const std::string&) { return std::set<int>{8080}; });
  EXPECT_THAT(MessageOf(beside.AcquirePort("b", kOnly8080, {}).status()),
              HasSubstr("a service of another tool"));
}

TEST(LeasesTest, PortOfAnotherDaemonIsPassedOver) {
  std::set<int> locked = {8080};
  const auto lock = [&locked](int port) -> std::shared_ptr<void> {
    if (!locked.insert(port).second) return nullptr;
    return {&locked, [port](std::set<int>* all) { all->erase(port); }};
  };
  Leases leases(nullptr, lock);
  EXPECT_THAT(MessageOf(leases.AcquirePort("a", kOnly8080, {}).status()),
              HasSubstr("a service of another daemon"));
  EXPECT_EQ(*leases.AcquirePort("a", {}, {}), 8081);
  EXPECT_EQ(*leases.AcquirePort("b", {}, {}), 8082);
  EXPECT_EQ(*leases.AcquirePort("a", {}, {8081}), 8083);
  EXPECT_EQ(locked, (std::set<int>{8080, 8082, 8083})) << "a holds one port, not two";
  leases.Release("a");
  leases.Release("b");
  EXPECT_EQ(locked, std::set<int>{8080});
}

TEST(LockHostPortTest, OneHolderUntilItLetsGo) {
  constexpr int kNotInThePool = 65501;
  std::shared_ptr<void> lock = LockHostPort(kNotInThePool);
  ASSERT_NE(lock, nullptr);
  EXPECT_EQ(LockHostPort(kNotInThePool), nullptr);
  EXPECT_NE(LockHostPort(kNotInThePool + 1), nullptr);
  lock.reset();
  EXPECT_NE(LockHostPort(kNotInThePool), nullptr);
}

TEST(LeasesTest, PoolIsUsedUpAtItsEnd) {
  Leases leases(nullptr);
  for (int port = kFirstPort; port <= kLastPort; ++port) {
    ASSERT_EQ(*leases.AcquirePort(std::to_string(port), {}, {}), port);
  }
  EXPECT_EQ(leases.AcquirePort("late", {}, {}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(LeasesTest, ThirtyTwoStartsAtOnceGetDifferentPortsAndGpus) {
  constexpr int kThreads = 32;
  Leases leases([](const std::string&) { return std::set<int>{8085}; });
  std::vector<std::string> candidates;
  for (int i = 0; i < kThreads; ++i) candidates.push_back(std::to_string(i));
  std::vector<int> ports(kThreads);
  std::vector<std::string> gpus(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const std::string job_id = "job-" + std::to_string(i);
      const auto port = leases.AcquirePort(job_id, {}, {});
      const auto gpu = leases.AcquireGpus(job_id, {.count = 1}, candidates);
      ports[static_cast<size_t>(i)] = port.ok() ? *port : 0;
      gpus[static_cast<size_t>(i)] = gpu.ok() ? gpu->front() : "";
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::set<int> unique_ports(ports.begin(), ports.end());
  EXPECT_THAT(unique_ports, SizeIs(kThreads));
  EXPECT_EQ(*unique_ports.begin(), 8080);
  EXPECT_EQ(*unique_ports.rbegin(), 8080 + kThreads) << "8085 is left out";
  EXPECT_FALSE(unique_ports.contains(8085));
  EXPECT_EQ(std::set<std::string>(gpus.begin(), gpus.end()),
            std::set<std::string>(candidates.begin(), candidates.end()));
}

TEST(LeasesTest, FirstFreeGpusOfThePlatform) {
  Leases leases(nullptr);
  leases.Restore(Holder("old", 0, {"0"}));
  EXPECT_THAT(*leases.AcquireGpus("a", {.count = 2}, {"0", "1", "2", "3"}), ElementsAre("1", "2"));
  const absl::Status status = leases.AcquireGpus("b", {.count = 2}, {"0", "1", "2", "3"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(MessageOf(status), HasSubstr("0 by old, 1 by a and 2 by a"));
  EXPECT_THAT(*leases.AcquireGpus("b", {.count = 1}, {"0", "1", "2", "3"}), ElementsAre("3"))
      << "all or nothing: the failed try holds none";
}

TEST(LeasesTest, NamedGpus) {
  Leases leases(nullptr);
  EXPECT_THAT(*leases.AcquireGpus("a", {.ids = {"1"}}, {"0", "1"}), ElementsAre("1"));
  EXPECT_EQ(leases.AcquireGpus("b", {.ids = {"0", "1"}}, {"0", "1"}).status().code(),
            absl::StatusCode::kResourceExhausted);
  const absl::Status unknown = leases.AcquireGpus("b", {.ids = {"7"}}, {"0", "1"}).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(unknown), HasSubstr("no GPU \"7\"; there are: 0 and 1"));
  leases.Release("a");
  EXPECT_THAT(*leases.AcquireGpus("b", {.ids = {"0", "1"}}, {"0", "1"}), ElementsAre("0", "1"));
}

TEST(LeasesTest, MoreGpusThanThereAre) {
  Leases leases(nullptr);
  EXPECT_EQ(leases.AcquireGpus("a", {.count = 3}, {"0", "1"}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(LeasesTest, NoGpuIsNone) {
  Leases leases(nullptr);
  EXPECT_THAT(*leases.AcquireGpus("a", {.mode = launch::GpuMode::kNone}, {"0"}), IsEmpty());
}

TEST(LeasesTest, EachInstanceHasAPoolOfItsOwn) {
  std::vector<int> locked;
  Leases leases(
      [](const std::string& instance_id) {
        return instance_id == "vm-1" ? std::set<int>{8080} : std::set<int>();
      },
      [&locked](int port) {
        locked.push_back(port);
        return std::make_shared<int>(port);
      });
  const auto on = [](const char* instance_id) {
    PortWish wish;
    wish.instance_id = instance_id;
    return wish;
  };
  EXPECT_EQ(*leases.AcquirePort("a", on("vm-1"), {}), 8081) << "8080 there is another tool's";
  EXPECT_EQ(*leases.AcquirePort("b", on("vm-1"), {}), 8082);
  EXPECT_EQ(*leases.AcquirePort("a", on("vm-2"), {}), 8080);
  EXPECT_EQ(*leases.AcquirePort("a", {}, {}), 8080) << "and one of this host beside it";
  EXPECT_EQ(locked, std::vector<int>{8080}) << "only this host's are shared with its daemons";
  leases.Release("a");
  EXPECT_EQ(*leases.AcquirePort("c", on("vm-1"), {}), 8081);
}

TEST(LeasesTest, PortsOfInstancesAreRestored) {
  Leases leases(nullptr);
  leases.Restore({.job_id = "a", .host_port = 8080, .instance_port = 8080, .instance_id = "vm-1"});
  PortWish wish;
  wish.instance_id = "vm-1";
  EXPECT_EQ(*leases.AcquirePort("b", wish, {}), 8081);
}

}  // namespace
}  // namespace tao::lifecycle
