#include "clients/cli/service_text.h"

#include <gmock/gmock.h>

namespace tao::cli {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(100'000);

pb::Service Ready() {
  pb::Service service;
  service.set_job_id("2f6c0d3e-0000-4000-8000-000000000001");
  service.set_network_arch("cosmos-rl");
  service.set_platform("local-process");
  service.set_phase(pb::PHASE_READY);
  service.set_gateway_url("http://127.0.0.1:8000/services/x/v1/chat/completions");
  service.mutable_created_at()->set_seconds(100'000 - 200);
  return service;
}

TEST(ServiceTextTest, TheListIsATableWithAlignedColumns) {
  pb::Service launching;
  launching.set_job_id("2f6c0d3e-0000-4000-8000-000000000002");
  launching.set_network_arch("cosmos-predict2.5");
  launching.set_platform("local-docker");
  launching.set_phase(pb::PHASE_LAUNCHING);
  EXPECT_EQ(
      ListTable({Ready(), launching}, kNow),
      "JOB ID                                ARCH               PLATFORM       PHASE      AGE  "
      "URL\n"
      "2f6c0d3e-0000-4000-8000-000000000001  cosmos-rl          local-process  READY      3m   "
      "http://127.0.0.1:8000/services/x/v1/chat/completions\n"
      "2f6c0d3e-0000-4000-8000-000000000002  cosmos-predict2.5  local-docker   LAUNCHING  -    "
      "-\n");
}

TEST(ServiceTextTest, AgesGrowFromSecondsToDays) {
  const auto age = [](int64_t seconds) {
    google::protobuf::Timestamp since;
    since.set_seconds(100'000'000 - seconds);
    return Age(since, true, absl::FromUnixSeconds(100'000'000));
  };
  EXPECT_EQ(age(-5), "0s");  // the daemon's clock may be ahead of ours
  EXPECT_EQ(age(59), "59s");
  EXPECT_EQ(age(60), "1m");
  EXPECT_EQ(age(3600 + 120), "1h2m");
  EXPECT_EQ(age(86400 * 2 + 3600), "2d1h");
}

TEST(ServiceTextTest, AStartEndsWithJobIdArchAndUrl) {
  EXPECT_EQ(StartSummary(Ready()),
            "Job ID: 2f6c0d3e-0000-4000-8000-000000000001\n"
            "Arch:   cosmos-rl\n"
            "URL:    http://127.0.0.1:8000/services/x/v1/chat/completions\n"
            "Use this Job ID to send requests or stop the service.\n");
}

TEST(ServiceTextTest, AFailureIsReportedWithItsLastLogLines) {
  pb::Service service = Ready();
  service.set_phase(pb::PHASE_FAILED);
  service.set_reason("exited");
  service.set_message("exit status 3");
  service.add_last_log_lines("no \x1b[31mmodel");
  EXPECT_EQ(
      FailureReport(service),
      "service 2f6c0d3e-0000-4000-8000-000000000001 cosmos-rl is FAILED [exited]: exit status "
      "3\nIts last log lines:\n  no [31mmodel\n");
}

TEST(ServiceTextTest, JsonHasTheProtosNamesAndEveryPlainField) {
  pb::ListResponse list;
  *list.add_services() = Ready();
  const std::string json = ToJsonLine(list);
  EXPECT_THAT(json, HasSubstr(R"("job_id":"2f6c0d3e-0000-4000-8000-000000000001")"));
  EXPECT_THAT(json, HasSubstr(R"("phase":"PHASE_READY")"));
  EXPECT_THAT(json, HasSubstr(R"("created_at":"1970-01-02T03:43:20Z")"));
  EXPECT_THAT(json, HasSubstr(R"("latest":"")"));
  EXPECT_EQ(json.find('\n'), json.size() - 1);
}

TEST(ServiceTextTest, APhaseOfANewerDaemonIsShownByItsNumber) {
  EXPECT_EQ(PhaseName(static_cast<pb::Phase>(77)), "PHASE 77");
}

}  // namespace
}  // namespace tao::cli
