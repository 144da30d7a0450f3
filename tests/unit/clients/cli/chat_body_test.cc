#include "clients/cli/chat_body.h"

#include <gmock/gmock.h>

namespace tao::cli {
namespace {

TEST(ChatBodyTest, PlainTextIsOneUserMessage) {
  const auto body = ChatBody({.model = "cosmos-rl", .text = "Say \"hi\"\n"});
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(*body,
            R"({"model":"cosmos-rl","messages":[{"role":"user","content":"Say \"hi\"\n"}]})");
}

TEST(ChatBodyTest, ImagesComeBeforeTheTextAndOnlySetSamplingIsSent) {
  const auto body = ChatBody({.model = "m",
                              .text = "What is it?",
                              .images = {"https://x/a.png"},
                              .stream = true,
                              .sampling = {.max_tokens = 5, .temperature = 0.5}});
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(*body, R"({"model":"m","messages":[{"role":"user","content":[)"
                   R"({"type":"image_url","image_url":{"url":"https://x/a.png"}},)"
                   R"({"type":"text","text":"What is it?"}]}],)"
                   R"("max_tokens":5,"temperature":0.5,"stream":true})");
}

TEST(ChatBodyTest, InvalidUtf8IsRefused) {
  EXPECT_FALSE(ChatBody({.model = "m", .text = "\xff"}).ok());
  EXPECT_FALSE(ChatBody({.model = "m", .text = "x", .images = {"\xc3"}}).ok());
}

TEST(ChatBodyTest, WhatIsNotSetIsLeftToTheContainer) {
  EXPECT_THAT(LeftToContainer({.max_tokens = 5}, {"max_tokens", "guidance", "temperature"}),
              testing::ElementsAre("guidance", "temperature"));
}

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
