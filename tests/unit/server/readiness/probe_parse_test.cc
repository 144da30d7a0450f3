#include "server/readiness/probe_parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/secret.h"
#include "server/base/strings.h"

namespace tao::readiness {
namespace {

using testing::HasSubstr;
using testing::Not;
using Outcome = ProbeResult::Outcome;

ProbeResult ParseReadiness(int status, std::string body) {
  return ParseProbe(io::HttpResponse{.status = status, .body = std::move(body)}, std::nullopt);
}

ProbeResult ParseLiveness(std::string body) {
  return ParseProbe(io::HttpResponse{.status = 200, .body = "{}"},
                    io::HttpResponse{.status = 200, .body = std::move(body)});
}

struct ReadinessCase {
  std::string name;
  int status;
  std::string body;
  Outcome want;
  std::string want_reason, want_message;
};

class ReadinessAnswerTest : public testing::TestWithParam<ReadinessCase> {};

TEST_P(ReadinessAnswerTest, IsUnderstood) {
  const ProbeResult result = ParseReadiness(GetParam().status, GetParam().body);
  EXPECT_EQ(result.outcome, GetParam().want);
  EXPECT_EQ(result.reason, GetParam().want_reason);
  EXPECT_EQ(result.message, GetParam().want_message);
}

INSTANTIATE_TEST_SUITE_P(
    BothShapes, ReadinessAnswerTest,
    testing::ValuesIn<ReadinessCase>({
        {"ReadyA", 200, R"({"status":"ready"})", Outcome::kReady, "", ""},
        {"ReadyB", 200, "OK", Outcome::kReady, "", ""},
        {"ReadyWithoutABody", 200, "", Outcome::kReady, "", ""},
        {"InitializingA", 503,
         R"({"status":"not_ready","reason":"server_initializing","message":"m"})",
         Outcome::kInitializing, "server_initializing", "m"},
        {"InitializingB", 202, R"({"error":{"type":"server_initializing","message":"m"}})",
         Outcome::kInitializing, "server_initializing", "m"},
        {"LoadingA", 503, R"({"status":"not_ready","reason":"model_loading","message":"m"})",
         Outcome::kLoading, "model_loading", "m"},
        {"LoadingB", 202, R"({"error":{"type":"model_loading","message":"m"}})", Outcome::kLoading,
         "model_loading", "m"},
        {"NotLoadedA", 503, R"({"status":"not_ready","reason":"model_not_loaded"})",
         Outcome::kLoading, "model_not_loaded", ""},
        {"NotLoadedB", 503, R"({"error":{"type":"model_not_ready"}})", Outcome::kLoading,
         "model_not_ready", ""},
        {"InitFailedA", 503, R"({"reason":"initialization_failed","message":"no GPU"})",
         Outcome::kFailed, "initialization_failed", "no GPU"},
        {"InitFailedB", 503, R"({"error":{"type":"initialization_error","message":"no GPU"}})",
         Outcome::kFailed, "initialization_error", "no GPU"},
        {"LoadFailedA", 503, R"({"reason":"model_load_failed","message":"no file"})",
         Outcome::kFailed, "model_load_failed", "no file"},
        {"LoadFailedB", 503, R"({"error":{"type":"model_load_error","message":"no file"}})",
         Outcome::kFailed, "model_load_error", "no file"},
        // A word of one shape beside an unknown one of the other.
        {"BothShapes", 503, R"({"reason":"busy","error":{"type":"model_loading","message":"b"}})",
         Outcome::kLoading, "model_loading", "b"},
        {"MessageOfAWrongType", 503, R"({"reason":"model_loading","message":[1,2]})",
         Outcome::kLoading, "model_loading", ""},
    }),
    [](const auto& row) { return row.param.name; });

// Nothing that a container may answer is an error, and nothing unknown is final.
TEST(ReadinessAnswerTest, WhatIsUnknownKeepsPolling) {
  const std::string deep(60'000, '[');
  std::string deep_object;
  for (int i = 0; i < 5'000; ++i) deep_object += R"({"error":)";
  for (const std::string& body : std::vector<std::string>{
           "", "null", "[]", "\"model_load_error\"", "503", "{", "<html>502 Bad Gateway</html>",
           deep, deep_object, R"({"reason":7})", R"({"reason":null,"error":null})",
           R"({"error":"x"})", R"({"error":{"type":["model_load_error"]}})",
           R"({"reason":"MODEL_LOAD_FAILED"})", R"({"reason":"model_load_failed )",
           "{\"reason\":\"model_load_failed\xff\"}", R"({"status":"not_ready"})",
           R"({"reason":"something_new"})"}) {
    for (const int status : {202, 204, 404, 500, 503}) {
      const ProbeResult result = ParseReadiness(status, body);
      EXPECT_EQ(result.outcome, Outcome::kUnknownAnswer) << body.substr(0, 80);
      EXPECT_EQ(result.reason, "");
      EXPECT_LE(result.message.size(), 600u);
      EXPECT_THAT(result.message, HasSubstr("HTTP " + std::to_string(status)));
    }
  }
}

TEST(ReadinessAnswerTest, NothingAnswered) {
  const ProbeResult result = ParseProbe(std::nullopt, std::nullopt);
  EXPECT_EQ(result.outcome, Outcome::kNoAnswer);
  EXPECT_FALSE(result.progress.has_value());
}

TEST(ReadinessAnswerTest, LivenessDoesNotChangeTheOutcome) {
  const ProbeResult result = ParseProbe(
      io::HttpResponse{.status = 503, .body = R"({"reason":"model_loading","message":"m"})"},
      io::HttpResponse{.status = 200,
                       .body = R"({"model_loaded":true,"progress":{"stage":"loading_model"}})"});
  EXPECT_EQ(result.outcome, Outcome::kLoading);
  EXPECT_EQ(result.progress, (registry::Progress{.stage = "loading_model"}));
}

TEST(LivenessAnswerTest, ShowsJobIdAndProgress) {
  const ProbeResult result = ParseLiveness(
      R"({"status":"healthy","model_loaded":false,"job_id":"job-1","idle_time_minutes":0.5,
          "progress":{"stage":"downloading_model","message":"12 of 60 GB","remaining_steps":["x"],
                      "details":{"a":{"b":[1]}},"timestamp":"2026-11-23T09:26:06Z"}})");
  EXPECT_EQ(result.outcome, Outcome::kReady);
  EXPECT_EQ(result.job_id, "job-1");
  EXPECT_EQ(result.progress,
            (registry::Progress{.stage = "downloading_model", .message = "12 of 60 GB"}));
}

TEST(LivenessAnswerTest, WhatIsMissingOrOfAWrongTypeIsLeftOut) {
  for (const std::string& body : std::vector<std::string>{
           "", "[]", "{}", "{", R"({"job_id":null,"progress":null})",
           R"({"job_id":5,"progress":"loading"})", R"({"job_id":{},"progress":{}})",
           R"({"progress":{"stage":1,"message":["x"]}})", std::string(60'000, '[')}) {
    const ProbeResult result = ParseLiveness(body);
    EXPECT_EQ(result.outcome, Outcome::kReady);
    EXPECT_EQ(result.job_id, "") << body.substr(0, 80);
    EXPECT_FALSE(result.progress.has_value()) << body.substr(0, 80);
  }
  EXPECT_EQ(ParseProbe(io::HttpResponse{.status = 200},
                       io::HttpResponse{.status = 500, .body = R"({"job_id":"job-1"})"})
                .job_id,
            "");
}

TEST(ProbeTextTest, IsOneLineOfAtMost500Bytes) {
  const ProbeResult result = ParseReadiness(
      503, R"({"reason":"model_loading","message":"a\r\n\u0000\u001b[31m\u009b\u007fz"})");
  EXPECT_EQ(result.message, "a    [31m  z");

  std::string euros;
  for (int i = 0; i < 400; ++i) euros += "\xe2\x82\xac";
  const std::string cut =
      ParseReadiness(503, R"({"reason":"model_loading","message":"x)" + euros + "\"}").message;
  EXPECT_LE(cut.size(), 500u);
  EXPECT_GT(cut.size(), 490u);
  EXPECT_TRUE(cut.ends_with("..."));
  EXPECT_TRUE(base::IsValidUtf8(cut));

  const ProbeResult live = ParseLiveness(R"({"job_id":")" + std::string(600, 'j') +
                                         R"(","progress":{"stage":"a\nb","message":")" +
                                         std::string(60'000, 'm') + R"("}})");
  EXPECT_EQ(live.job_id.size(), 500u);
  EXPECT_EQ(live.progress->stage, "a b");
  EXPECT_EQ(live.progress->message.size(), 500u);
}

// The loader's errors quote the environment; the cut must not leave half a secret behind.
TEST(ProbeTextTest, SecretsAreRedacted) {
  const base::Secret secret("hf_probe_parse_secret_value");
  const std::string value = secret.Reveal();
  const std::string long_text = std::string(480, 'x') + value;
  for (const std::string& text : {value, long_text}) {
    const std::string message =
        ParseReadiness(503, R"({"reason":"model_load_failed","message":")" + text + "\"}").message;
    EXPECT_THAT(message, Not(HasSubstr("hf_probe")));
    EXPECT_THAT(message, HasSubstr("***"));
  }
  EXPECT_THAT(ParseReadiness(500, value).message, Not(HasSubstr(value)));
  EXPECT_THAT(ParseLiveness(R"({"progress":{"message":")" + value + R"("}})").progress->message,
              Not(HasSubstr(value)));
}

}  // namespace
}  // namespace tao::readiness
