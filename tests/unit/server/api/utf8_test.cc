#include "server/api/utf8.h"

#include "server/base/strings.h"

namespace tao::api {
namespace {

TEST(Utf8Test, KeepsWhatIsWellFormed) { EXPECT_EQ(ToValidUtf8("naïve €"), "naïve €"); }

TEST(Utf8Test, ReplacesEveryForeignByteOfBrokenText) {
  EXPECT_EQ(ToValidUtf8("a\xff\xc3z"), "a??z");
}

TEST(Utf8Test, CutsBetweenCharacters) {
  const std::string text = "€€€€€€";  // 3 bytes each
  for (size_t limit = 0; limit <= text.size(); ++limit) {
    const std::string cut = CutUtf8(text, limit);
    EXPECT_LE(cut.size(), limit);
    EXPECT_TRUE(base::IsValidUtf8(cut)) << limit;
  }
  EXPECT_EQ(CutUtf8(text, 18), text);
  EXPECT_EQ(CutUtf8(text, 17), "€€€€...");
}

}  // namespace
}  // namespace tao::api
