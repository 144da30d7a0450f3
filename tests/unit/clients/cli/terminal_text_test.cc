#include "clients/cli/terminal_text.h"

namespace tao::cli {
namespace {

TEST(TerminalTextTest, ControlCharactersBecomeOneSpace) {
  EXPECT_EQ(OneLine("a\r\n\tb\x1b[31m\x7f"), "a b [31m");
  EXPECT_EQ(OneLine("\nx"), "x");
  EXPECT_EQ(OneLine("a\xc2\x9b"
                    "b"),
            "a b");  // CSI of eight bits
  EXPECT_EQ(OneLine("é…"), "é…");
}

TEST(TerminalTextTest, IsCutBetweenCharacters) {
  EXPECT_EQ(CutTo("häßlich", 7), "häßlich");
  EXPECT_EQ(CutTo("häßlich", 4), "häß…");
  EXPECT_EQ(CutTo("abc", 1), "…");
  EXPECT_EQ(CutTo("abc", 0), "");
}

}  // namespace
}  // namespace tao::cli
