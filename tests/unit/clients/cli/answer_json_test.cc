#include "clients/cli/answer_json.h"

#include <gmock/gmock.h>

namespace tao::cli {
namespace {

TEST(AnswerContentTest, ReadsTheFirstChoice) {
  const auto content =
      AnswerContent(R"({"choices":[{"message":{"role":"assistant","content":"four \u00e9"}}]})");
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(*content, "four é");
}

TEST(AnswerContentTest, RefusesWhatIsNoChatCompletion) {
  for (const char* body : {"", "<html>", "[]", "{}", R"({"choices":[]})", R"({"choices":[1]})",
                           R"({"choices":[{"message":{"content":null}}]})"}) {
    EXPECT_FALSE(AnswerContent(body).ok()) << body;
  }
}

TEST(EventContentTest, TextOfADeltaAndNothingForOthers) {
  EXPECT_EQ(*EventContent(R"({"choices":[{"delta":{"content":"ab"}}]})"), "ab");
  EXPECT_EQ(*EventContent(R"({"choices":[{"delta":{"role":"assistant"}}]})"), "");
  EXPECT_EQ(*EventContent(R"({"choices":[],"usage":{}})"), "");
}

TEST(EventContentTest, AnErrorEventIsAnErrorWithItsMessage) {
  const auto content = EventContent(R"({"error":{"message":"the backend left"}})");
  EXPECT_EQ(content.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(content.status().message()), testing::HasSubstr("the backend left"));
  EXPECT_FALSE(EventContent("nonsense").ok());
}

}  // namespace
}  // namespace tao::cli
