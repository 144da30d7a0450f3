#include "gateway/chat/sse_boundary.h"

#include <gtest/gtest.h>

namespace tao::chat {
namespace {

struct BoundaryCase {
  std::string name;
  std::string bytes;
  bool at_boundary;
  bool done_seen;
};

class SseBoundaryTest : public testing::TestWithParam<BoundaryCase> {};

TEST_P(SseBoundaryTest, SaysTheSameHoweverSplit) {
  const std::string& bytes = GetParam().bytes;
  for (size_t first = 0; first <= bytes.size(); ++first) {
    for (size_t second = first; second <= bytes.size(); ++second) {
      SseBoundary boundary;
      boundary.Feed(std::string_view(bytes).substr(0, first));
      boundary.Feed(std::string_view(bytes).substr(first, second - first));
      boundary.Feed(std::string_view(bytes).substr(second));
      ASSERT_EQ(boundary.at_boundary(), GetParam().at_boundary) << first << ", " << second;
      ASSERT_EQ(boundary.done_seen(), GetParam().done_seen) << first << ", " << second;
    }
  }
  SseBoundary boundary;
  for (const char& byte : bytes) boundary.Feed({&byte, 1});
  EXPECT_EQ(boundary.at_boundary(), GetParam().at_boundary);
  EXPECT_EQ(boundary.done_seen(), GetParam().done_seen);
}

INSTANTIATE_TEST_SUITE_P(Streams, SseBoundaryTest,
                         testing::ValuesIn<BoundaryCase>({
                             {"Start", "", true, false},
                             {"Event", "data: {}\n\n", true, false},
                             {"EventCrLf", "data: {}\r\n\r\n", true, false},
                             {"EventCr", "data: {}\r\r", true, false},
                             {"Comment", ": keep-alive\n\n", true, false},
                             {"LineOnly", "data: {}\n", false, false},
                             {"LineOnlyCrLf", "data: {}\r\n", false, false},
                             {"InsideLine", "data: {", false, false},
                             {"InsideCrLf", "data: {}\r\n\r", false, false},
                             {"MixedBlankLine", "data: {}\n\r\n", false, false},
                             {"SecondEventBegun", "data: 1\n\nd", false, false},
                             {"Done", "data: 1\n\ndata: [DONE]\n\n", true, true},
                             {"DoneCrLf", "data: [DONE]\r\n\r\n", true, true},
                             {"DoneCr", "data: [DONE]\r\r", true, true},
                             {"DoneMixedBlankLine", "data: [DONE]\n\r\n", false, true},
                             {"DoneWithoutSpace", "data:[DONE]\n\n", true, true},
                             {"DoneNotEnded", "data: [DONE]\n", false, false},
                             {"DoneCut", "data: [DONE]", false, false},
                             {"DoneCrLfNotEnded", "data: [DONE]\r\n", false, false},
                             {"MoreAfterDone", "data: [DONE]\n\n: x", false, true},
                             {"DoneAfterComment", ": x\ndata: [DONE]\n\n", true, true},
                             {"DoneInsideText", "data: {\"c\":\"data: [DONE]\"}\n\n", true, false},
                             {"DoneLonger", "data: [DONE]x\n\n", true, false},
                             {"DoneShorter", "data: [DONE\n\n", true, false},
                             {"DoneIndented", " data: [DONE]\n\n", true, false},
                             {"DoneTwoSpaces", "data:  [DONE]\n\n", true, false},
                             {"DoneAsEventName", "event: [DONE]\n\n", true, false},
                             {"OneNewline", "\n", false, false},
                             {"TwoNewlines", "\n\n", true, false},
                         }),
                         [](const auto& test) { return test.param.name; });

struct EventsCase {
  std::string name;
  std::string bytes;
  uint64_t events;
  bool error_seen;
};

class SseEventsTest : public testing::TestWithParam<EventsCase> {};

TEST_P(SseEventsTest, AreCountedHoweverSplit) {
  const std::string& bytes = GetParam().bytes;
  for (size_t first = 0; first <= bytes.size(); ++first) {
    SseBoundary boundary;
    boundary.Feed(std::string_view(bytes).substr(0, first));
    boundary.Feed(std::string_view(bytes).substr(first));
    ASSERT_EQ(boundary.events(), GetParam().events) << first;
    ASSERT_EQ(boundary.error_seen(), GetParam().error_seen) << first;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Streams, SseEventsTest,
    testing::ValuesIn<EventsCase>({
        {"None", "", 0, false},
        {"One", "data: {}\n\n", 1, false},
        {"OneCrLf", "data: {}\r\n\r\n", 1, false},
        {"Two", "data: {}\n\ndata: {}\n\n", 2, false},
        {"NotWholeYet", "data: {}\n\ndata: {}\n", 1, false},
        {"OfSeveralLines", "data: {\ndata: }\n\n", 1, false},
        {"CommentsAreNone", ": x\n\n: y\n\ndata: 1\n\n", 1, false},
        {"ANameAloneIsNone", "event: ping\n\n", 0, false},
        {"DoneIsNone", "data: 1\n\ndata: [DONE]\n\n", 1, false},
        {"NothingCountsAfterDone", "data: [DONE]\n\ndata: {\"error\":{}}\n\n", 0, false},
        {"Error", "data: {\"error\":{\"message\":\"m\"}}\n\ndata: [DONE]\n\n", 1, true},
        {"ErrorWithSpaces", "data:  { \"error\" : \"text\"}\n\n", 1, true},
        {"ErrorWithoutSpace", "data:{\"error\":{}}\n\n", 1, true},
        {"ErrorAfterOthers", "data: {}\n\ndata: {\"error\":{}}\n\n", 2, true},
        {"ErrorByName", "event: error\ndata: {\"message\":\"m\"}\n\n", 1, true},
        {"ErrorNotWholeYet", "data: {\"error\":{}}\n", 0, false},
        {"NullIsNone", "data: {\"error\":null,\"choices\":[]}\n\n", 1, false},
        {"NullWithSpaceIsNone", "data: {\"error\": null}\n\n", 1, false},
        {"InAText", "data: {\"c\":\"{\\\"error\\\":1}\"}\n\n", 1, false},
        {"OtherName", "data: {\"errors\":{}}\n\n", 1, false},
        {"InASecondLine", "data: 1\ndata: {\"error\":{}}\n\n", 1, false},
    }),
    [](const auto& test) { return test.param.name; });

TEST(SseBoundaryLinesTest, LongCostNoMemoryAndStillCount) {
  SseBoundary boundary;
  const std::string text(1 << 16, 'x');
  boundary.Feed("data: ");
  for (int i = 0; i < 1000; ++i) boundary.Feed(text);
  EXPECT_FALSE(boundary.at_boundary());
  boundary.Feed("\n\ndata: [DONE]\n\n");
  EXPECT_EQ(boundary.events(), 1U);
  EXPECT_TRUE(boundary.at_boundary());
  EXPECT_TRUE(boundary.done_seen());
}

}  // namespace
}  // namespace tao::chat
