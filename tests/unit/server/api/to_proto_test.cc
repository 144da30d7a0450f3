#include "server/api/to_proto.h"

#include <set>

namespace tao::api {
namespace {

registry::ServiceRecord Loading() {
  registry::ServiceRecord record;
  record.job_id = "job-1";
  record.network_arch = "cosmos-rl";
  record.phase = routing::Phase::kLoading;
  record.reason = "model_loading";
  record.progress = {"loading_model", "3 of 7 shards"};
  record.host_url = "http://localhost:8081";
  record.host_port = 8081;
  record.gpu_ids = {"0", "2"};
  record.created_at = absl::FromUnixMillis(1'700'000'000'250);
  return record;
}

TEST(ToProtoTest, CarriesWhatTheRecordSays) {
  const pb::Service service = ToProto(Loading(), "http://127.0.0.1:8000");
  EXPECT_EQ(service.job_id(), "job-1");
  EXPECT_EQ(service.network_arch(), "cosmos-rl");
  EXPECT_EQ(service.phase(), pb::PHASE_LOADING);
  EXPECT_EQ(service.reason(), "model_loading");
  EXPECT_EQ(service.progress().stage(), "loading_model");
  EXPECT_EQ(service.host_url(), "http://localhost:8081");
  EXPECT_EQ(service.host_port(), 8081);
  EXPECT_EQ(service.gpu_ids_size(), 2);
  EXPECT_EQ(service.created_at().seconds(), 1'700'000'000);
  EXPECT_EQ(service.created_at().nanos(), 250'000'000);
}

TEST(ToProtoTest, TimesThatNeverWereAreAbsent) {
  const pb::Service service = ToProto(Loading(), "");
  EXPECT_FALSE(service.has_started_at());
  EXPECT_FALSE(service.has_phase_since());
}

TEST(ToProtoTest, TimesBefore1970CountNanosForward) {
  registry::ServiceRecord record = Loading();
  record.created_at = absl::UnixEpoch() - absl::Milliseconds(250);
  const pb::Service service = ToProto(record, "");
  EXPECT_EQ(service.created_at().seconds(), -1);
  EXPECT_EQ(service.created_at().nanos(), 750'000'000);
}

TEST(ToProtoTest, GatewayUrlNamesTheServiceAlone) {
  const char* const want = "http://127.0.0.1:8000/services/job-1/v1/chat/completions";
  EXPECT_EQ(ToProto(Loading(), "http://127.0.0.1:8000").gateway_url(), want);
  EXPECT_EQ(ToProto(Loading(), "http://127.0.0.1:8000/").gateway_url(), want);
  EXPECT_EQ(ToProto(Loading(), "").gateway_url(), "");
}

TEST(ToProtoTest, EveryPhaseHasItsOwnValueUnderItsName) {
  std::set<pb::Phase> seen;
  for (int i = 0; i <= static_cast<int>(routing::Phase::kStopped); ++i) {
    const auto phase = static_cast<routing::Phase>(i);
    EXPECT_EQ(pb::Phase_Name(ToProto(phase)), "PHASE_" + std::string(routing::ToString(phase)));
    EXPECT_TRUE(seen.insert(ToProto(phase)).second);
  }
}

TEST(ToProtoTest, TextOfContainersBecomesUtf8) {
  registry::ServiceRecord record = Loading();
  record.message = "bad \xff byte";
  record.last_log_lines = {"\xfe"};
  pb::Service parsed;
  ASSERT_TRUE(parsed.ParseFromString(ToProto(record, "").SerializeAsString()));
  EXPECT_EQ(parsed.message(), "bad ? byte");
  EXPECT_EQ(parsed.last_log_lines(0), "?");
}

}  // namespace
}  // namespace tao::api
