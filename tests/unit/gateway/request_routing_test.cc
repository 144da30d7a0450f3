#include "gateway/request_routing.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "server/base/errors.h"

namespace tao::gateway {
namespace {

using Kind = routing::SelectorTerm::Kind;

routing::Service Make(const std::string& job_id, const std::string& arch,
                      routing::Phase phase = routing::Phase::kReady) {
  routing::Service service;
  service.job_id = job_id;
  service.network_arch = arch;
  service.phase = phase;
  return service;
}

class RequestRoutingTest : public testing::Test {
 protected:
  const std::shared_ptr<const routing::RouteTable> table_ = routing::RouteTable::Build(
      {Make("a1", "a"), Make("a2", "a"), Make("b1", "b"),
       Make("b2", "b", routing::Phase::kLaunching), Make("c1", "c", routing::Phase::kLaunching)});

  static std::string TokenOf(const absl::Status& status) {
    const std::optional<base::ErrorToken> token = base::TokenOf(status);
    return token.has_value() ? std::string(base::RuleOf(*token).name) : "";
  }
};

TEST_F(RequestRoutingTest, HeadDecidesWhereItCan) {
  RequestRouting by_job(*table_, {{{Kind::kJobId, "a1", "path"}}});
  EXPECT_TRUE(by_job.OnHead().ok());
  EXPECT_EQ(by_job.service()->job_id, "a1");
  RequestRouting by_arch(*table_, {{{Kind::kNetworkArch, "b", "path"}}});
  EXPECT_TRUE(by_arch.OnHead().ok());
  EXPECT_EQ(by_arch.service()->job_id, "b1");
  RequestRouting by_nothing(*table_, {});
  EXPECT_TRUE(by_nothing.OnHead().ok());
  EXPECT_EQ(by_nothing.service(), nullptr);
}

TEST_F(RequestRoutingTest, HeadIsRefusedWhereNoBodyCouldMendIt) {
  const struct {
    routing::Selector selector;
    std::string token;
  } rows[] = {
      {{{{Kind::kJobId, "x", "path"}}}, "service_not_found"},
      {{{{Kind::kNetworkArch, "x", "path"}}}, "service_not_found"},
      {{{{Kind::kJobId, "a1", "path"}, {Kind::kNetworkArch, "b", "header"}}}, "selector_conflict"},
      {{{{Kind::kJobId, "a1", "path"}, {Kind::kJobId, "a2", "header"}}}, "selector_conflict"},
      // The body may name one of them.
      {{{{Kind::kNetworkArch, "a", "path"}}}, ""},
      {{{{Kind::kNetworkArch, "c", "path"}}}, ""},
  };
  for (const auto& row : rows) {
    RequestRouting routing(*table_, row.selector);
    EXPECT_EQ(TokenOf(routing.OnHead()), row.token) << routing::Describe(row.selector);
    EXPECT_EQ(routing.service(), nullptr);
  }
}

TEST_F(RequestRoutingTest, ModelDecidesAsSoonAsItIsThere) {
  RequestRouting routing(*table_, {{{Kind::kNetworkArch, "a", "path"}}});
  ASSERT_TRUE(routing.OnHead().ok());
  ASSERT_TRUE(routing.Feed(R"({"model":"a)").ok());
  EXPECT_EQ(routing.service(), nullptr);
  ASSERT_TRUE(routing.Feed(R"(2","messages":[)").ok());
  EXPECT_EQ(routing.service()->job_id, "a2");
  ASSERT_TRUE(routing.Feed("]}").ok());
  EXPECT_TRUE(routing.Finish().ok());
}

TEST_F(RequestRoutingTest, ModelMayNameAnotherServiceOfTheArchUntilBytesWereSent) {
  for (const bool committed : {false, true}) {
    RequestRouting routing(*table_, {{{Kind::kNetworkArch, "b", "path"}}});
    ASSERT_TRUE(routing.OnHead().ok());
    EXPECT_EQ(routing.service()->job_id, "b1");
    if (committed) routing.Commit();
    const absl::Status fed = routing.Feed(R"({"model":"b2"})");
    EXPECT_EQ(TokenOf(fed), committed ? "selector_conflict" : "");
    EXPECT_EQ(routing.service()->job_id, committed ? "b1" : "b2");
  }
}

TEST_F(RequestRoutingTest, VerdictIsOnTheWholeBody) {
  for (const char* body :
       {R"({"model":"a1")", R"({"model":"a1"}x)", R"({"model":"a1","model":"b1"})"}) {
    RequestRouting routing(*table_, {});
    absl::Status status = routing.Feed(body);
    if (status.ok()) status = routing.Finish();
    EXPECT_EQ(TokenOf(status), "bad_request") << body;
  }
}

}  // namespace
}  // namespace tao::gateway
