// How many connections clients may have.

#include "gateway/connection_limit.h"

#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"
#include "tests/fakes/event.h"

namespace tao::gateway {
namespace {

GatewayConfig Limits(size_t all, size_t per_client) {
  GatewayConfig config = GatewayHarness::Config();
  config.max_connections = all;
  config.max_connections_per_client = per_client;
  return config;
}

TEST(ConnectionLimitTest, OneTooManyIsToldAndClosed) {
  GatewayHarness harness({}, Limits(2, 2));
  RawSocket first = harness.Connect();
  first.Write(Get("/livez"));
  EXPECT_EQ(first.ReadMessage().status(), 200);
  {
    RawSocket second = harness.Connect();
    second.Write(Get("/livez"));
    EXPECT_EQ(second.ReadMessage().status(), 200);
    RawSocket third = harness.Connect();
    // Whether it has sent something already or not.
    third.Write(Get("/livez"));
    const RawMessage refused = third.ReadMessage();
    EXPECT_EQ(refused.status(), 503);
    EXPECT_EQ(refused.Field("X-TAO-Error"), "overflow");
    EXPECT_TRUE(refused.Field("Retry-After").has_value());
    EXPECT_NE(refused.body.find("--max-connections)"), std::string::npos) << refused.body;
    EXPECT_TRUE(third.WaitForEnd());
    first.Write(Get("/livez"));
    EXPECT_EQ(first.ReadMessage().status(), 200) << "who is there stays";
  }
  // A place that was given back is taken.
  const absl::Time limit = absl::Now() + kTestLimit;
  RawMessage answer;
  do {
    answer = harness.Ask(Get("/livez"));
  } while (answer.status() == 503 && absl::Now() < limit);
  EXPECT_EQ(answer.status(), 200);
}

TEST(ConnectionLimitTest, OneClientCannotHaveThemAll) {
  GatewayHarness harness({}, Limits(8, 1));
  RawSocket first = harness.Connect();
  first.Write(Get("/livez"));
  EXPECT_EQ(first.ReadMessage().status(), 200);
  const RawMessage refused = harness.Ask(Get("/livez"));
  EXPECT_EQ(refused.status(), 503);
  EXPECT_NE(refused.body.find("--max-connections-per-client"), std::string::npos) << refused.body;
}

TEST(ConnectionLimitTest, AClientIsAnAddressOrANetworkOfVersion6) {
  using transport::net::ip::make_address;
  const auto client = [](const char* text) {
    return ConnectionLimit::ClientOf(make_address(text));
  };
  EXPECT_NE(client("192.0.2.1"), client("192.0.2.2"));
  EXPECT_EQ(client("::ffff:192.0.2.1"), client("192.0.2.1"));
  EXPECT_EQ(client("2001:db8::1"), client("2001:db8::2"));
  EXPECT_NE(client("2001:db8:0:1::1"), client("2001:db8::1"));
  EXPECT_NE(client("::"), client("0.0.0.0"));
}

TEST(ConnectionLimitTest, EachClientIsCountedAndForgotten) {
  ConnectionLimit limit(3, 2);
  using Refusal = ConnectionLimit::Refusal;
  const ConnectionLimit::Client a = {1}, b = {2};
  Refusal refusal = Refusal::kNone;
  std::optional<ConnectionLimit::Ticket> first = limit.Take(a, &refusal);
  const auto second = limit.Take(a, &refusal);
  EXPECT_FALSE(limit.Take(a, &refusal).has_value());
  EXPECT_EQ(refusal, Refusal::kTooManyOfClient);
  const auto third = limit.Take(b, &refusal);
  EXPECT_TRUE(third.has_value());
  EXPECT_FALSE(limit.Take(b, &refusal).has_value());
  EXPECT_EQ(refusal, Refusal::kTooMany);
  first.reset();
  EXPECT_EQ(limit.open(), 2U);
  EXPECT_TRUE(limit.Take(a, &refusal).has_value());
}

// Half of the descriptors, for an exchange has two; and one client leaves some for others.
TEST(ConnectionLimitTest, TheDefaultsFollowFromTheDescriptors) {
  const ConnectionLimit limit(0, 0);
  EXPECT_GE(limit.all(), 16U);
  EXPECT_LT(limit.per_client(), limit.all());
  EXPECT_GE(limit.per_client(), limit.all() / 2);
}

}  // namespace
}  // namespace tao::gateway
