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

TEST(SseBoundaryLinesTest, LongCostNoMemoryAndStillCount) {
  SseBoundary boundary;
  const std::string text(1 << 16, 'x');
  boundary.Feed("data: ");
  for (int i = 0; i < 1000; ++i) boundary.Feed(text);
  EXPECT_FALSE(boundary.at_boundary());
  boundary.Feed("\n\ndata: [DONE]\n\n");
  EXPECT_TRUE(boundary.at_boundary());
  EXPECT_TRUE(boundary.done_seen());
}

}  // namespace
}  // namespace tao::chat
