// Backends that are known by name: looked up apart from requests, and again when that is due.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

using testing::HasSubstr;

upstream::Resolution AddressesOf(const std::vector<std::string>& addresses) {
  upstream::Resolution found;
  for (const std::string& each : addresses) {
    found.addresses.push_back(boost::asio::ip::make_address(each));
  }
  return found;
}

upstream::Resolution Unknown(bool may_recover) {
  upstream::Resolution found;
  found.error = may_recover ? "try again" : "no such name";
  found.may_recover = may_recover;
  return found;
}

// A name service that tests change. Thread-safe.
class FakeNames {
 public:
  void Set(const std::string& host, upstream::Resolution found) {
    base::MutexLock lock(mutex_);
    names_[host] = std::move(found);
  }
  int asked(const std::string& host) const {
    base::MutexLock lock(mutex_);
    const auto count = asked_.find(host);
    return count == asked_.end() ? 0 : count->second;
  }
  // Returns once `host` was asked for twice more: what was set before is then known everywhere.
  [[nodiscard]] bool WaitForRefresh(const std::string& host) {
    base::MutexLock lock(mutex_);
    const int before = asked_[host];
    while (asked_[host] < before + 2) {
      if (changed_.WaitWithTimeout(mutex_, kTestLimit)) return false;
    }
    return true;
  }
  upstream::Lookup AsLookup() {
    return [this](const std::string& host) {
      base::MutexLock lock(mutex_);
      ++asked_[host];
      changed_.SignalAll();
      const auto found = names_.find(host);
      return found == names_.end() ? Unknown(false) : found->second;
    };
  }

 private:
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::map<std::string, upstream::Resolution> names_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> asked_ ABSL_GUARDED_BY(mutex_);
};

GatewayConfig ConfigWith(upstream::Lookup lookup) {
  GatewayConfig config = GatewayHarness::Config();
  config.upstream.lookup = std::move(lookup);
  config.upstream.name_time_to_live = absl::Milliseconds(20);
  return config;
}

routing::Service NamedServiceAt(uint16_t port, const std::string& host = "job.example") {
  routing::Service service = ServiceAt(port);
  service.backend.host = host;
  return service;
}

TEST(Names, AreLookedUpOnceForManyRequests) {
  FakeNames names;
  names.Set("job.example", AddressesOf({"127.0.0.1"}));
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayConfig config = ConfigWith(names.AsLookup());
  config.upstream.name_time_to_live = absl::Hours(1);
  GatewayHarness harness({NamedServiceAt(upstream.port())}, config);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  harness.Publish({NamedServiceAt(upstream.port())});
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(names.asked("job.example"), 1);
}

TEST(Names, LiteralAddressesAreNotLookedUp) {
  FakeNames names;
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port())}, ConfigWith(names.AsLookup()));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(names.asked("127.0.0.1"), 0);
}

TEST(Names, UnknownOneIs502AndIsTriedAgain) {
  FakeNames names;
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({NamedServiceAt(upstream.port())}, ConfigWith(names.AsLookup()));
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.status(), 502);
  EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_connect");
  EXPECT_THAT(answer.body, HasSubstr("its name has no address: no such name"));
  names.Set("job.example", AddressesOf({"127.0.0.1"}));
  EXPECT_TRUE(names.WaitForRefresh("job.example"));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
}

TEST(Names, NewAddressIsDialledNext) {
  FakeNames names;
  names.Set("job.example", AddressesOf({"127.0.0.2"}));  // nobody listens there
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({NamedServiceAt(upstream.port())}, ConfigWith(names.AsLookup()));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 502);
  names.Set("job.example", AddressesOf({"127.0.0.1"}));
  EXPECT_TRUE(names.WaitForRefresh("job.example"));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
}

// A name server that is down is no reason to forget where the service is; an answer of "no such
// name" is.
TEST(Names, OldAddressHoldsWhileTheNameServiceFails) {
  FakeNames names;
  names.Set("job.example", AddressesOf({"127.0.0.1"}));
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({NamedServiceAt(upstream.port())}, ConfigWith(names.AsLookup()));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  names.Set("job.example", Unknown(/*may_recover=*/true));
  EXPECT_TRUE(names.WaitForRefresh("job.example"));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  names.Set("job.example", Unknown(/*may_recover=*/false));
  EXPECT_TRUE(names.WaitForRefresh("job.example"));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 502);
}

TEST(Names, EveryAddressIsTried) {
  FakeNames names;
  names.Set("job.example", AddressesOf({"127.0.0.2", "::1", "127.0.0.1"}));
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({NamedServiceAt(upstream.port())}, ConfigWith(names.AsLookup()));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  names.Set("job.example", AddressesOf({"127.0.0.2", "127.0.0.3"}));
  EXPECT_TRUE(names.WaitForRefresh("job.example"));
  EXPECT_THAT(harness.Ask(Post(Body(kArch))).body, HasSubstr("the last of 2 addresses"));
}

// One that swallows packets has its share of the connect time-out, and no more.
TEST(Names, SilentAddressLeavesTimeForTheNext) {
  const int silent = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(upstream.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
  ASSERT_EQ(::bind(silent, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(silent, 0), 0);
  const int first = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // fills the queue
  ASSERT_EQ(::connect(first, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);

  FakeNames names;
  names.Set("job.example", AddressesOf({"127.0.0.2", "127.0.0.1"}));
  GatewayConfig config = ConfigWith(names.AsLookup());
  config.upstream.timeouts.connect = absl::Milliseconds(400);
  GatewayHarness harness({NamedServiceAt(upstream.port())}, config);
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  ::close(first);
  ::close(silent);
}

// A look-up that hangs: its requests wait no longer than for a connection, and nobody else waits.
TEST(Names, SlowLookUpHoldsUpNobodyElse) {
  Event release;
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayConfig config = ConfigWith([&](const std::string& host) {
    EXPECT_TRUE(host != "slow.example" || release.Wait());
    return AddressesOf({"127.0.0.1"});
  });
  config.upstream.timeouts.connect = absl::Milliseconds(200);
  routing::Service other = NamedServiceAt(upstream.port());
  other.job_id = kOtherJob;
  GatewayHarness harness({NamedServiceAt(upstream.port(), "slow.example"), other}, config);
  EXPECT_EQ(harness.Ask(Post("{}", HeaderFor(kOtherJob))).status(), 200);
  const RawMessage answer = harness.Ask(Post("{}", HeaderFor(kJob)));
  EXPECT_EQ(answer.status(), 502);
  EXPECT_THAT(answer.body, HasSubstr("its name was not looked up within 200ms"));
  EXPECT_EQ(harness.Ask(Post("{}", HeaderFor(kOtherJob))).status(), 200);
  release.Set();
}

TEST(Names, ClientThatLeavesDuringTheLookUpIsNotWaitedFor) {
  Event asked;
  Event release;
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({NamedServiceAt(upstream.port(), "slow.example")},
                         ConfigWith([&](const std::string&) {
                           asked.Set();
                           EXPECT_TRUE(release.Wait());
                           return AddressesOf({"127.0.0.1"});
                         }));
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch)));
  EXPECT_TRUE(asked.Wait());
  while (harness.gateway->InFlight(kJob) == 0) std::this_thread::yield();
  client.Close();
  while (harness.gateway->InFlight(kJob) > 0) std::this_thread::yield();
  EXPECT_EQ(upstream.connections(), 0);
  release.Set();
}

}  // namespace
}  // namespace tao::gateway
