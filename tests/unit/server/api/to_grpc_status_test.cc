#include "server/api/to_grpc_status.h"

#include <absl/strings/str_format.h>

#include <cctype>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/base/errors.h"
#include "server/base/secret.h"

namespace tao::api {
namespace {

google::rpc::Status RichOf(const grpc::Status& status) {
  google::rpc::Status rich;
  EXPECT_TRUE(rich.ParseFromString(status.error_details()));
  return rich;
}

// The detail of type T; a default one when it is absent.
template <typename T>
T DetailOf(const grpc::Status& status) {
  T detail;
  const google::rpc::Status rich = RichOf(status);
  for (const auto& each : rich.details()) {
    if (each.UnpackTo(&detail)) return detail;
  }
  return T();
}

TEST(ToGrpcStatusTest, OkIsOk) { EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok()); }

TEST(ToGrpcStatusTest, EveryTokenHasItsCodeAndReason) {
  for (const base::ErrorRule& rule : base::ErrorRules()) {
    const grpc::Status status = ToGrpcStatus(base::TokenError(rule.token, "why"));
    EXPECT_EQ(static_cast<int>(status.error_code()), static_cast<int>(rule.code)) << rule.name;
    const auto info = DetailOf<google::rpc::ErrorInfo>(status);
    EXPECT_EQ(info.domain(), "tao.inference");
    std::string want(rule.name);
    for (char& c : want) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(info.reason(), want);
    EXPECT_EQ(DetailOf<google::rpc::RetryInfo>(status).retry_delay().seconds(), rule.retry_after_s);
  }
}

TEST(ToGrpcStatusTest, TheRichStatusSaysTheSameAsThePlainOne) {
  const grpc::Status status = ToGrpcStatus(absl::NotFoundError("no such thing"));
  EXPECT_EQ(status.error_message(), "no such thing");
  EXPECT_EQ(RichOf(status).message(), status.error_message());
  EXPECT_EQ(RichOf(status).code(), static_cast<int>(status.error_code()));
}

TEST(ToGrpcStatusTest, WithoutATokenTheReasonIsTheDetailsOrTheCode) {
  const auto reason = [](const absl::Status& status) {
    return DetailOf<google::rpc::ErrorInfo>(ToGrpcStatus(status)).reason();
  };
  EXPECT_EQ(reason(absl::AbortedError("x")), "ABORTED");
  EXPECT_EQ(reason(base::WithDetails(absl::AbortedError("x"), {.reason = "NO_GPU"})), "NO_GPU");
}

TEST(ToGrpcStatusTest, CarriesFieldsCandidatesAndTheDelay) {
  const grpc::Status status = ToGrpcStatus(base::TokenError(
      base::ErrorToken::kModelNotReady, "why",
      {.type = "model_loading",
       .param = "model",
       .retry_after = absl::Milliseconds(2500),
       .candidates = {{"job-1", "x", "2026-01-01T00:00:00Z", "http://localhost:8080"}},
       .candidate_count = 3,
       .violations = {{"mounts", "is relative"}}}));
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  EXPECT_EQ(info.metadata().at("type"), "model_loading");
  EXPECT_EQ(info.metadata().at("param"), "model");
  EXPECT_EQ(info.metadata().at("candidate_count"), "3");
  EXPECT_EQ(info.metadata().at("candidate_0"),
            "job-1 x 2026-01-01T00:00:00Z http://localhost:8080");
  const auto retry = DetailOf<google::rpc::RetryInfo>(status);
  EXPECT_EQ(retry.retry_delay().seconds(), 2);
  EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
  const auto bad = DetailOf<google::rpc::BadRequest>(status);
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "mounts");
  EXPECT_EQ(bad.field_violations(0).description(), "is relative");
}

struct SizeCase {
  std::string name;
  std::string message;
  int candidates, violations;
  size_t url_bytes;
};
class ToGrpcStatusSizeTest : public testing::TestWithParam<SizeCase> {};

TEST_P(ToGrpcStatusSizeTest, StaysUnderTheLimitAndKeepsItsReason) {
  base::ErrorDetails details{.candidate_count = GetParam().candidates};
  for (int i = 0; i < GetParam().candidates; ++i) {
    details.candidates.push_back({"01234567-0123-4123-8123-0123456789ab", "cosmos-rl",
                                  "2026-01-01T00:00:00Z", std::string(GetParam().url_bytes, 'u')});
  }
  for (int i = 0; i < GetParam().violations; ++i) {
    details.violations.push_back({absl::StrFormat("field_%d", i), std::string(200, 'v')});
  }
  const grpc::Status status = ToGrpcStatus(
      base::TokenError(base::ErrorToken::kAmbiguousService, GetParam().message, details));
  EXPECT_LT(WireBytes(status), kMaxStatusBytes);
  EXPECT_FALSE(status.error_message().empty());
  EXPECT_EQ(RichOf(status).message(), status.error_message());
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  EXPECT_EQ(info.reason(), "AMBIGUOUS_SERVICE");
  EXPECT_EQ(info.metadata().count("candidate_0"), GetParam().candidates > 0 ? 1u : 0u);
  EXPECT_EQ(DetailOf<google::rpc::BadRequest>(status).field_violations_size() > 0,
            GetParam().violations > 0);
}

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

INSTANTIATE_TEST_SUITE_P(Sizes, ToGrpcStatusSizeTest,
                         testing::ValuesIn<SizeCase>({
                             {"LongMessage", std::string(100'000, 'm'), 0, 0, 0},
                             {"MessageThatIsNotAscii", Repeated("€", 3000), 10, 0, 22},
                             {"MessageOfPercentSigns", std::string(10'000, '%'), 0, 0, 0},
                             {"TenCandidates", std::string(1200, 'm'), 10, 0, 22},
                             {"CandidatesWithLongUrls", std::string(1200, 'm'), 10, 0, 5000},
                             {"ManyFields", std::string(2000, 'm'), 0, 60, 0},
                             {"Everything", Repeated("€", 3000), 10, 60, 5000},
                         }),
                         [](const auto& size) { return size.param.name; });

TEST(ToGrpcStatusTest, TenOrdinaryCandidatesAllFit) {
  base::ErrorDetails details{.candidate_count = 10};
  details.candidates.assign(10, {"01234567-0123-4123-8123-0123456789ab", "cosmos-rl",
                                 "2026-01-01T00:00:00Z", "http://localhost:8080"});
  const auto info = DetailOf<google::rpc::ErrorInfo>(ToGrpcStatus(
      base::TokenError(base::ErrorToken::kAmbiguousService, std::string(1200, 'm'), details)));
  EXPECT_EQ(info.metadata().count("candidate_9"), 1u);
}

TEST(ToGrpcStatusTest, SecretsAndBrokenTextDoNotTravel) {
  const base::Secret secret("hunter2-hunter2-hunter2");
  const grpc::Status status =
      ToGrpcStatus(base::WithDetails(absl::InternalError("key hunter2-hunter2-hunter2 \xff"),
                                     {.violations = {{"env", "hunter2-hunter2-hunter2"}}}));
  EXPECT_EQ(status.error_message(), "key *** ?");
  EXPECT_EQ(status.error_details().find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace tao::api
