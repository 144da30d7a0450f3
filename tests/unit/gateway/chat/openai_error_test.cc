#include "gateway/chat/openai_error.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "gateway/chat/json_writer.h"
#include "server/base/errors.h"

namespace tao::chat {
namespace {

using base::ErrorToken;
using nlohmann::json;
using std::literals::operator""s;

std::string Quote(std::string_view text) {
  std::string out;
  AppendJsonString(out, text);
  return out;
}

TEST(JsonWriterTest, EscapesWhatJsonMustNotHoldRaw) {
  EXPECT_EQ(Quote(""), R"("")");
  EXPECT_EQ(Quote("a\"\\/b"), R"("a\"\\/b")");
  EXPECT_EQ(Quote("\n\r\t\b\x01\x1f\x7f"), R"("\n\r\t\u0008\u0001\u001f\u007f")");
  EXPECT_EQ(Quote("\0"s), R"("\u0000")");
  EXPECT_EQ(Quote("é€😀"), "\"é€😀\"");
}

TEST(JsonWriterTest, ReplacesWhatIsNotUtf8) {
  const std::string mark = "\xef\xbf\xbd";
  EXPECT_EQ(Quote("a\xff"
                  "b"),
            "\"a" + mark + "b\"");
  EXPECT_EQ(Quote("\xe2\x82"), "\"" + mark + mark + "\"");
  EXPECT_EQ(Quote("\xed\xa0\x80"), "\"" + mark + mark + mark + "\"");
  EXPECT_EQ(Quote("\xc3\"x"), "\"" + mark + "\\\"x\"");
}

TEST(JsonWriterTest, EveryByteRoundTrips) {
  for (int byte = 0; byte < 0x80; ++byte) {
    const std::string text = "x" + std::string(1, static_cast<char>(byte)) + "y";
    EXPECT_EQ(json::parse(Quote(text)).get<std::string>(), text);
  }
}

TEST(JsonWriterTest, MembersAreSeparated) {
  std::string out = "{";
  AppendJsonMember(out, "a", "{");
  AppendJsonMember(out, "b\"", "");
  EXPECT_EQ(out + "}", R"({"a":"{","b\"":""})");
}

TEST(ErrorBodyTest, EveryTokenHasTheShapeOfOpenAi) {
  for (const base::ErrorRule& rule : base::ErrorRules()) {
    const json body = json::parse(ErrorBody(base::TokenError(rule.token, "what failed")));
    const json want = {{"error",
                        {{"message", "what failed"},
                         {"type", rule.type},
                         {"param", nullptr},
                         {"code", rule.name}}}};
    EXPECT_EQ(body, want);
  }
}

TEST(ErrorBodyTest, ContainersTypeAndParamWin) {
  const json error = json::parse(ErrorBody(base::TokenError(
      ErrorToken::kServiceFailed, "m", {.type = "model_load_error", .param = "model"})))["error"];
  EXPECT_EQ(error["type"], "model_load_error");
  EXPECT_EQ(error["param"], "model");
  EXPECT_EQ(error["code"], "service_failed");
}

TEST(ErrorBodyTest, FirstViolationIsTheParam) {
  const json error = json::parse(ErrorBody(
      base::TokenError(ErrorToken::kContractViolation, "m",
                       {.violations = {{"messages[0].role", "d"}, {"x", "d"}}})))["error"];
  EXPECT_EQ(error["param"], "messages[0].role");
}

TEST(ErrorBodyTest, ListsCandidates) {
  const json error = json::parse(ErrorBody(base::TokenError(
      ErrorToken::kAmbiguousService, "several",
      {.candidates = {{"job-1", "cosmos-rl", "2026-01-02T03:04:05Z", "http://localhost:8080"},
                      {"job-2", "a\"b", "", ""}},
       .candidate_count = 12})))["error"];
  ASSERT_EQ(error["candidates"].size(), 2u);
  EXPECT_EQ(error["candidates"][0], (json{{"job_id", "job-1"},
                                          {"network_arch", "cosmos-rl"},
                                          {"started_at", "2026-01-02T03:04:05Z"},
                                          {"host_url", "http://localhost:8080"}}));
  EXPECT_EQ(error["candidates"][1]["network_arch"], "a\"b");
  EXPECT_EQ(error["candidate_count"], 12);
}

TEST(ErrorBodyTest, WithoutATokenItIsOurs) {
  const json error = json::parse(ErrorBody(absl::InternalError("bug")))["error"];
  EXPECT_EQ(
      error,
      (json{{"message", "bug"}, {"type", "server_error"}, {"param", nullptr}, {"code", nullptr}}));
}

// The SDKs need the error nested, on one data line, with LF only (a raw newline would end the
// event).
TEST(ErrorEventTest, IsOneEvent) {
  const std::string event =
      ErrorEvent(base::TokenError(ErrorToken::kUpstreamReset, "line one\nline\r two\xff"));
  EXPECT_EQ(event.substr(0, 6), "data: ");
  EXPECT_EQ(event.find('\n'), event.size() - 2);
  EXPECT_EQ(event.find('\r'), std::string::npos);
  EXPECT_EQ(event.substr(event.size() - 2), "\n\n");
  EXPECT_EQ(json::parse(event.substr(6))["error"]["code"], "upstream_reset");
}

}  // namespace
}  // namespace tao::chat
