#include "server/base/strings.h"

#include <gtest/gtest.h>

namespace tao::base {
namespace {

using std::literals::operator""s;

TEST(QuotedTest, ShowsWhatATerminalMustNotGet) {
  EXPECT_EQ(Quoted("plain"), "\"plain\"");
  EXPECT_EQ(Quoted(""), "\"\"");
  EXPECT_EQ(Quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(Quoted("\r\n\x1b[0m\x7f"), "\"\\x0d\\x0a\\x1b[0m\\x7f\"");
  EXPECT_EQ(Quoted("a\0b"s), "\"a\\x00b\"");
  EXPECT_EQ(Quoted("\xc3\xa9\xff"), "\"\\xc3\\xa9\\xff\"");
}

TEST(QuotedTest, CutsAndSaysTheLength) {
  EXPECT_EQ(Quoted("abcdef", 6), "\"abcdef\"");
  EXPECT_EQ(Quoted("abcdefg", 6), "\"abcdef\"... (7 bytes)");
  EXPECT_LT(Quoted(std::string(1 << 20, 'x')).size(), 150u);
}

TEST(IsValidUtf8Test, FollowsRfc3629) {
  for (const std::string& good : {""s, "a\0"s, "\xc2\x80"s, "\xe0\xa0\x80"s, "\xed\x9f\xbf"s,
                                  "\xef\xbf\xbf"s, "\xf0\x90\x80\x80"s, "\xf4\x8f\xbf\xbf"s}) {
    EXPECT_TRUE(IsValidUtf8(good)) << Quoted(good);
  }
  for (const std::string& bad :
       {"\x80"s, "\xc0\x80"s, "\xc1\xbf"s, "\xe0\x9f\xbf"s, "\xed\xa0\x80"s, "\xf0\x8f\xbf\xbf"s,
        "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s, "\xff"s, "\xc3"s, "\xe2\x82"s, "\xc3("s}) {
    EXPECT_FALSE(IsValidUtf8(bad)) << Quoted(bad);
  }
}

TEST(AsciiLowerTest, TouchesOnlyAsciiLetters) {
  EXPECT_EQ(AsciiLower("AbZ-9[`{@\xc3\x89"), "abz-9[`{@\xc3\x89");
}

TEST(JoinedListTest, ReadsAsASentence) {
  EXPECT_EQ(JoinedList({}), "none");
  EXPECT_EQ(JoinedList({"a"}), "a");
  EXPECT_EQ(JoinedList({"a", "b"}), "a and b");
  EXPECT_EQ(JoinedList({"a", "b", "c"}), "a, b and c");
}

TEST(BridgeTest, KeepsEveryByte) {
  const std::string text = "a\0b"s;
  EXPECT_EQ(ToStd(ToAbsl(text)), text);
  EXPECT_EQ(ToStd(absl::string_view()).size(), 0u);
}

}  // namespace
}  // namespace tao::base
