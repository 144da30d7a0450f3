#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/errors.h"
#include "server/base/strings.h"
#include "server/routing/resolver.h"

namespace tao::routing {
namespace {

struct ServingCase {
  std::string name;
  Phase phase;
  std::string reason;
  std::string want_token;  // empty: OK
  std::string want_type;   // empty: the token's own
};

class CheckServingTest : public testing::TestWithParam<ServingCase> {};

TEST_P(CheckServingTest, AnswersByPhaseInTheContainersWords) {
  Service service{.job_id = "job-1", .network_arch = "cosmos-rl"};
  service.phase = GetParam().phase;
  service.reason = GetParam().reason;
  service.message = "loading shard 3 of 8.";
  const absl::Status status = CheckServing(service);
  if (GetParam().want_token.empty()) {
    EXPECT_TRUE(status.ok()) << status.ToString();
    return;
  }
  const std::optional<base::ErrorToken> token = base::TokenOf(status);
  ASSERT_TRUE(token.has_value()) << status.ToString();
  EXPECT_EQ(base::RuleOf(*token).name, GetParam().want_token);
  const base::ErrorDetails details = base::DetailsOf(status);
  EXPECT_EQ(details.type, GetParam().want_type);
  if (*token == base::ErrorToken::kModelNotReady) {
    EXPECT_GE(details.retry_after, absl::Seconds(1));
    EXPECT_LE(details.retry_after, absl::Seconds(60));
    EXPECT_FALSE(base::RuleOf(*token).should_retry.has_value());
  } else {
    EXPECT_EQ(details.retry_after, absl::ZeroDuration());
    EXPECT_EQ(base::RuleOf(*token).should_retry, std::optional(false));
  }
  EXPECT_THAT(std::string(base::ToStd(status.message())), testing::HasSubstr("service job-1"));
}

INSTANTIATE_TEST_SUITE_P(
    Rules, CheckServingTest,
    testing::ValuesIn<ServingCase>({
        {"Ready", Phase::kReady, "", "", ""},
        {"UnreachableIsTried", Phase::kUnreachable, "", "", ""},
        {"Launching", Phase::kLaunching, "", "model_not_ready", "model_not_ready"},
        {"Pending", Phase::kPending, "", "model_not_ready", "model_not_ready"},
        {"Starting", Phase::kStarting, "", "model_not_ready", "model_not_ready"},
        {"Initializing", Phase::kInitializing, "server_initializing", "model_not_ready",
         "server_initializing"},
        {"Loading", Phase::kLoading, "model_loading", "model_not_ready", "model_loading"},
        {"NotLoadedOfShapeA", Phase::kLoading, "model_not_loaded", "model_not_ready",
         "model_not_ready"},
        {"NotReadyOfShapeB", Phase::kLoading, "model_not_ready", "model_not_ready",
         "model_not_ready"},
        {"InitFailedOfShapeA", Phase::kFailed, "initialization_failed", "service_failed",
         "initialization_error"},
        {"LoadFailedOfShapeA", Phase::kFailed, "model_load_failed", "service_failed",
         "model_load_error"},
        {"LoadFailedOfShapeB", Phase::kFailed, "model_load_error", "service_failed",
         "model_load_error"},
        {"FailedForAReasonOfOurs", Phase::kFailed, "start_timeout", "service_failed", ""},
        {"Draining", Phase::kDraining, "", "service_draining", ""},
        {"Stopped", Phase::kStopped, "", "service_draining", ""},
    }),
    [](const auto& row) { return row.param.name; });

// An image pull takes longer than a server's first answer.
TEST(CheckServingTest, RetryAfterGrowsWithTheWayToReady) {
  const auto wait = [](Phase phase) {
    return base::DetailsOf(CheckServing({.job_id = "job-1", .phase = phase})).retry_after;
  };
  EXPECT_GT(wait(Phase::kLaunching), wait(Phase::kLoading));
  EXPECT_GT(wait(Phase::kLoading), wait(Phase::kStarting));
}

TEST(CheckServingTest, FailedSaysWhy) {
  Service service{.job_id = "job-1", .network_arch = "cosmos-rl", .phase = Phase::kFailed};
  service.reason = "model_load_failed";
  service.message = "no such file: /models/x. Start it again with another path.";
  EXPECT_EQ(
      base::ToStd(CheckServing(service).message()),
      "service job-1 (cosmos-rl) is FAILED (model_load_failed): no such file: /models/x. Start "
      "it again with another path. Trying again does not help");
}

}  // namespace
}  // namespace tao::routing
