#include <gmock/gmock.h>

#include "server/base/errors.h"
#include "server/base/strings.h"
#include "server/platforms/brev/brev_platform.h"
#include "server/platforms/preflight.h"

namespace tao::platforms {
namespace {

using testing::HasSubstr;

class BrevOptionsTest : public testing::Test {
 protected:
  Tunnels tunnels_;
  BrevPlatform brev_{{.daemon_id = "deadbeef-0000-4000-8000-000000000000", .tunnels = &tunnels_}};

  absl::Status Check(const std::map<std::string, std::string>& options) {
    return CheckOptions(brev_, options);
  }
};

TEST_F(BrevOptionsTest, TakesWhatCanBe) {
  for (const std::map<std::string, std::string>& options :
       std::vector<std::map<std::string, std::string>>{
           {},
           {{"instance-id", "gpu-box"}, {"publish-address", "0.0.0.0"}, {"network", "tao_default"}},
           {{"instance-type", "n1-standard-4:nvidia-tesla-t4:1,g5.xlarge"},
            {"workspace-group", "g"},
            {"cloud-credential", "c"}},
       }) {
    EXPECT_TRUE(Check(options).ok()) << Check(options);
  }
}

TEST_F(BrevOptionsTest, RefusesWhatCannotBeFieldByField) {
  struct Row {
    std::map<std::string, std::string> options;
    std::string field, words;
  };
  for (const Row& row : std::vector<Row>{
           {{{"instance-id", "-oProxyCommand=x"}}, "instance-id", "cannot be one"},
           {{{"instance-id", ""}}, "instance-id", "cannot be one"},
           {{{"instance-id", std::string(64, 'a')}}, "instance-id", "63"},
           {{{"instance-type", "--all"}}, "instance-type", "not a word"},
           {{{"instance-type", "a b"}}, "instance-type", "not a word"},
           {{{"publish-address", "10.0.0.1"}}, "publish-address", "neither"},
           {{{"instance-id", "x"}, {"instance-type", "t4"}}, "instance-type", "instance-id names"},
           {{{"instance", "x"}}, "instance", "instance-id"},
       }) {
    const absl::Status status = Check(row.options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.field;
    ASSERT_EQ(base::DetailsOf(status).violations.size(), 1U) << status;
    EXPECT_EQ(base::DetailsOf(status).violations[0].field, "platform_options." + row.field);
    EXPECT_THAT(base::DetailsOf(status).violations[0].description, HasSubstr(row.words));
  }
}

TEST_F(BrevOptionsTest, AnEntryOfAnotherToolNeedsItsInstance) {
  const absl::Status lacking =
      brev_.CheckForeign({.job_id = "job-1", .driver_state = {{"foreign", "1"}}});
  EXPECT_EQ(lacking.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(base::ToStd(lacking.message())), HasSubstr("no instance_id"));
  EXPECT_TRUE(brev_
                  .CheckForeign({.job_id = "job-1",
                                 .driver_state = {{"foreign", "1"}, {"instance_id", "9x"}}})
                  .ok());
}

TEST_F(BrevOptionsTest, TheEndpointIsTheTunnelUnlessAnAddressAnswered) {
  PlatformJob job = {.job_id = "job-1",
                     .host_port = 8085,
                     .instance_port = 8080,
                     .driver_state = {{"instance_name", "gpu-box"}, {"instance_id", "9x"}}};
  Platform::Endpoint endpoint = brev_.EndpointOf(job);
  EXPECT_EQ(endpoint.host_url, "http://localhost:8085");
  EXPECT_EQ(endpoint.backend.host, "127.0.0.1");
  EXPECT_EQ(endpoint.backend.port, 8085);
  EXPECT_EQ(endpoint.instance_id, "9x");
  EXPECT_EQ(endpoint.docker_url, "");

  job.driver_state.insert({{"address", "box.example"}, {"ip", "203.0.113.7"}, {"network", "net"}});
  endpoint = brev_.EndpointOf(job);
  EXPECT_EQ(endpoint.host_url, "http://box.example:8080");
  EXPECT_EQ(endpoint.backend.host, "203.0.113.7");
  EXPECT_EQ(endpoint.backend.port, 8080);
  EXPECT_EQ(endpoint.backend.authority, "box.example:8080");
  EXPECT_EQ(endpoint.docker_url, "http://job-1:8080");
}

TEST(BrevCheckTest, WhatIsMissingEndsTheCheckWithItsAdvice) {
  Tunnels tunnels;
  BrevPlatform none({.daemon_id = "d", .tunnels = &tunnels, .brev_program = "no-such-brev"});
  const std::vector<CheckItem> items = none.Check({}, absl::Seconds(5));
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].name, "client");
  EXPECT_EQ(items[0].outcome, CheckItem::Outcome::kMissing);
  EXPECT_THAT(items[0].message, HasSubstr("brev login"));
}

TEST(BrevCheckTest, APodsTokenIsWarnedOfAndAnAnswerThatCannotBeReadIsNoLogin) {
  Tunnels tunnels;
  BrevPlatform brev({.daemon_id = "d",
                     .tunnels = &tunnels,
                     .brev_program = "/bin/true",  // says nothing
                     .pod_token = "/etc/passwd"});
  const std::vector<CheckItem> items = brev.Check({}, absl::Seconds(5));
  ASSERT_EQ(items.size(), 3U);
  EXPECT_EQ(items[1].name, "token");
  EXPECT_EQ(items[1].outcome, CheckItem::Outcome::kWarning);
  EXPECT_THAT(items[1].message, HasSubstr("automountServiceAccountToken"));
  EXPECT_EQ(items[2].name, "login");
  EXPECT_EQ(items[2].outcome, CheckItem::Outcome::kUnknown);
}

}  // namespace
}  // namespace tao::platforms
