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

TEST(TerminalTextTest, IsCutByTheColumnsThatCharactersTake) {
  EXPECT_EQ(CutTo("模型", 4), "模型");
  EXPECT_EQ(CutTo("模型", 3), "模…");
  EXPECT_EQ(CutTo("模型", 2), "…");
  EXPECT_EQ(CutTo("a模型", 3), "a…");
  EXPECT_EQ(CutTo("🚀🚀", 3), "🚀…");
  EXPECT_EQ(CutTo("e\u0301te\u0301", 3), "e\u0301te\u0301");
  EXPECT_EQ(CutTo("e\u0301te\u0301", 2), "e\u0301…");
}

}  // namespace
}  // namespace tao::cli
