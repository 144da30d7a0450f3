#include "server/platforms/lepton/lepton_api.h"

#include "tests/component/server/platforms/lepton/lepton_fixture.h"

namespace tao::platforms {
namespace {

using testing::Contains;
using testing::Pair;

LeptonApi ApiOf(FakeWorkspace& http) {
  return LeptonApi(http, *LeptonWorkspaceOf(Config().environment), Config().retry);
}

TEST(LeptonApiTest, EveryCallHasTheHeadersThatLeptonWants) {
  FakeWorkspace http([](const std::string&, const io::HttpRequest&) { return Say(200); });
  ASSERT_TRUE(ApiOf(http).Call({.method = "POST", .path = "/deployments", .body = "{}"}).ok());
  ASSERT_TRUE(ApiOf(http).Call({.path = "/workspace"}).ok());
  for (const io::HttpRequest& request : http.requests) {
    EXPECT_THAT(request.headers, Contains(Pair("Authorization", "Bearer token-of-the-user")));
    EXPECT_THAT(request.headers, Contains(Pair("Accept", "application/json")));
    EXPECT_THAT(request.headers, Contains(Pair("origin", "https://lepton.test")));
  }
  EXPECT_THAT(http.requests[0].headers, Contains(Pair("Content-Type", "application/json")));
  EXPECT_EQ(http.requests[1].headers.size(), 3u);
}

struct Row {
  int status;  // of the first two answers; 0: none comes
  bool repeatable;
  int calls;  // in all, when the third one is 200
};

TEST(LeptonApiTest, WhatIsHarmlessIsTriedAgain) {
  for (const Row& row : {Row{503, true, 3}, Row{500, true, 3}, Row{0, true, 3}, Row{429, true, 3},
                         Row{429, false, 3}, Row{503, false, 1}, Row{0, false, 1},
                         Row{404, true, 1}, Row{401, true, 1}, Row{400, true, 1}}) {
    int answers = 0;
    FakeWorkspace http([&](const std::string&, const io::HttpRequest&) {
      if (++answers > 2) return Say(200);
      return row.status == 0 ? Fail(absl::StatusCode::kUnavailable) : Say(row.status);
    });
    const auto answer = ApiOf(http).Call({.path = "/x", .repeatable = row.repeatable});
    EXPECT_EQ(http.calls.size(), static_cast<size_t>(row.calls)) << row.status;
    if (row.calls == 3) {
      ASSERT_TRUE(answer.ok());
      EXPECT_EQ(answer->status, 200) << row.status;
    }
  }
}

TEST(LeptonApiTest, TheDeadlineHoldsForAllTries) {
  FakeWorkspace http([](const std::string&, const io::HttpRequest&) { return Say(503, "busy"); });
  const auto answer = ApiOf(http).Call({.path = "/x", .timeout = absl::Milliseconds(50)});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->body, "busy") << "the last answer";
  EXPECT_GT(http.calls.size(), 2u);
}

TEST(LeptonApiTest, ARetryAfterBeyondTheDeadlineIsNotWaitedFor) {
  FakeWorkspace http([](const std::string&, const io::HttpRequest&) {
    auto answer = Say(429);
    (*answer)->retry_after = "20";
    return answer;
  });
  const auto answer = ApiOf(http).Call({.path = "/x", .timeout = absl::Seconds(5)});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 429);
  EXPECT_EQ(http.calls.size(), 1u);
}

TEST(LeptonApiTest, ACancelledCallEndsWhileItHangsAndWhileItWaits) {
  base::CancelToken token;
  FakeWorkspace http([&token](const std::string& call, const io::HttpRequest&) {
    token.Cancel();
    return call == "GET /hangs" ? std::nullopt : Say(503);
  });
  EXPECT_EQ(ApiOf(http).Call({.path = "/hangs", .cancel = &token}).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(ApiOf(http).Call({.path = "/busy", .cancel = &token}).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(http.calls.size(), 1u) << "not asked when cancelled before";
}

}  // namespace
}  // namespace tao::platforms
