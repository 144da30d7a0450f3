// What Lepton's API refuses, as it says it, and what people are told to do.

#include <gmock/gmock.h>

#include <set>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/lepton/lepton_parse.h"

namespace tao::platforms {
namespace {

using Code = absl::StatusCode;
using testing::HasSubstr;
using testing::Not;

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

struct Row {
  int status;
  const char* body;
  Code code;
  const char* advice;
  LeptonSubject subject = LeptonSubject::kOther;
};

const std::vector<Row>& Rows() {
  static const auto* const rows = new std::vector<Row>{
      {401, R"({"code":"Unauthorized","message":"invalid token"})", Code::kUnauthenticated,
       "export LEPTON_AUTH_TOKEN="},
      {403, R"({"code":"StatusForbidden","message":"forbidden"})", Code::kPermissionDenied,
       "Check LEPTON_WORKSPACE_ID"},
      {403,
       R"({"code":"StatusForbidden","message":"the new endpoint API is not enabled for this workspace"})",
       Code::kPermissionDenied, "other of Lepton's two APIs"},
      {404, R"({"message":"workspace not found"})", Code::kFailedPrecondition, "about 10 minutes",
       LeptonSubject::kWorkspace},
      {404, R"({"message":"deployment tao-x not found"})", Code::kNotFound, "console"},
      {400, R"({"message":"invalid deployment spec: unsupported resource shape gpu.x"})",
       Code::kInvalidArgument, "another --resource-shape"},
      {400, R"({"message":"invalid deployment spec: bad affinity"})", Code::kInvalidArgument,
       "--dedicated-node-group"},
      {400, R"({"message":"resource requirement exceeds quota"})", Code::kResourceExhausted,
       "smaller --resource-shape"},
      {400, R"({"message":"unknown field"})", Code::kInvalidArgument, "See what it names"},
      {409, R"({"message":"deployment tao-x already exists"})", Code::kAlreadyExists,
       "Remove it in the console"},
      {409, R"({"message":"pull image secret already exists"})", Code::kAlreadyExists, "409",
       LeptonSubject::kImagePullSecret},
      {429, R"({"message":"rate limit exceeded"})", Code::kUnavailable, "in a minute"},
      {500, R"({"message":"internal error"})", Code::kUnavailable, "trouble of its own"},
      {502, "<html>Bad Gateway</html>", Code::kUnavailable, "trouble of its own"},
      {503, "", Code::kUnavailable, "trouble of its own"},
      {302, "", Code::kFailedPrecondition, "LEPTON_API_BASE_URL"},
      {418, "I'm a teapot", Code::kUnavailable, "no answer that Lepton's API gives"},
  };
  return *rows;
}

TEST(LeptonFailuresTest, EachIsAnsweredWithItsAdvice) {
  for (const Row& row : Rows()) {
    const absl::Status status = LeptonError("endpoint n failed", row.status, row.body, row.subject);
    EXPECT_EQ(status.code(), row.code) << row.status << " " << row.body;
    EXPECT_THAT(Message(status), HasSubstr("endpoint n failed: Lepton answers"));
    EXPECT_THAT(Message(status), HasSubstr(row.advice)) << row.status << " " << row.body;
  }
}

TEST(LeptonFailuresTest, EveryRuleHasARow) {
  std::set<std::string_view> told;
  for (const Row& row : Rows()) {
    const std::string message = Message(LeptonError("x", row.status, row.body, row.subject));
    for (const LeptonFailureRule& rule : LeptonFailureRules()) {
      if (!rule.advice.empty() && message.ends_with(rule.advice)) told.insert(rule.advice);
    }
  }
  for (const LeptonFailureRule& rule : LeptonFailureRules()) {
    EXPECT_TRUE(rule.advice.empty() || told.contains(rule.advice)) << rule.advice;
  }
}

TEST(LeptonFailuresTest, ItsWordsAreRedactedAndCut) {
  const base::Secret token("planted-secret-value");
  const std::string message =
      Message(LeptonError("x", 400, R"({"message":"bad header Bearer planted-secret-value\n"})"));
  EXPECT_THAT(message, Not(HasSubstr("planted-secret-value")));
  EXPECT_THAT(message, HasSubstr("Bearer ***. "));
  EXPECT_LT(Message(LeptonError("x", 500, std::string(100'000, 'a'))).size(), 1000u);
  EXPECT_TRUE(base::IsValidUtf8(Message(LeptonError("x", 500, "\xff\xfe"))));
}

}  // namespace
}  // namespace tao::platforms
