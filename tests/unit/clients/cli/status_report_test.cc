#include "clients/cli/status_report.h"

#include <gmock/gmock.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace tao::cli {
namespace {

using ::testing::HasSubstr;

grpc::Status WithDetail(grpc::StatusCode code, const google::protobuf::Message& detail) {
  google::rpc::Status status;
  status.add_details()->PackFrom(detail);
  return {code, "it went wrong", status.SerializeAsString()};
}

TEST(StatusReportTest, EveryWrongFieldIsListed) {
  google::rpc::BadRequest bad;
  for (const char* field : {"model_path", "mounts[0]"}) {
    auto* const violation = bad.add_field_violations();
    violation->set_field(field);
    violation->set_description("is not absolute");
  }
  EXPECT_EQ(StatusText(WithDetail(grpc::StatusCode::INVALID_ARGUMENT, bad), "x:1"),
            "it went wrong\n"
            "  model_path: is not absolute\n"
            "  mounts[0]: is not absolute\n");
}

TEST(StatusReportTest, AFindingThatTheMessageTellsIsNotToldTwice) {
  google::rpc::BadRequest bad;
  auto* const violation = bad.add_field_violations();
  violation->set_field("platform");
  violation->set_description("went wrong");
  EXPECT_EQ(StatusText(WithDetail(grpc::StatusCode::INVALID_ARGUMENT, bad), "x:1"),
            "it went wrong\n");
  violation->set_description("is required");
  EXPECT_EQ(StatusText(WithDetail(grpc::StatusCode::INVALID_ARGUMENT, bad), "x:1"),
            "it went wrong\n"
            "  platform: is required\n");
}

TEST(StatusReportTest, ReasonAndMetadataAreShownInOrder) {
  google::rpc::ErrorInfo info;
  info.set_reason("AMBIGUOUS_SERVICE");
  (*info.mutable_metadata())["candidates"] = "job-1\njob-2";
  (*info.mutable_metadata())["candidate_count"] = "2";
  EXPECT_EQ(StatusText(WithDetail(grpc::StatusCode::FAILED_PRECONDITION, info), "x:1"),
            "it went wrong\n"
            "  reason: AMBIGUOUS_SERVICE\n"
            "  candidate_count: 2\n"
            "  candidates: job-1\n  job-2\n");
}

TEST(StatusReportTest, ABareUnavailableIsADaemonThatDoesNotAnswer) {
  const grpc::Status status(grpc::StatusCode::UNAVAILABLE, "connection refused");
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kDaemonUnreachable);
  const std::string text = StatusText(status, "127.0.0.1:50051");
  EXPECT_THAT(text, HasSubstr("127.0.0.1:50051"));
  EXPECT_THAT(text, HasSubstr("--server"));
}

TEST(StatusReportTest, AnUnavailableServiceIsNotAnUnreachableDaemon) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(7);
  const grpc::Status status = WithDetail(grpc::StatusCode::UNAVAILABLE, retry);
  EXPECT_EQ(ExitCodeOf(status), ExitCode::kRequestFailed);
  EXPECT_EQ(StatusText(status, "x:1"), "it went wrong\n  try again in 7 s\n");
}

}  // namespace
}  // namespace tao::cli
