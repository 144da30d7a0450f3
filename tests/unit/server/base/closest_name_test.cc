#include "server/base/closest_name.h"

namespace tao::base {
namespace {

struct ClosestCase {
  std::string name, typed, want;
};

class ClosestNameTest : public testing::TestWithParam<ClosestCase> {};

TEST_P(ClosestNameTest, FindsWhatWasMeantAndNothingElse) {
  EXPECT_EQ(ClosestName(GetParam().typed, {"cosmos-rl", "cosmos-predict2.5", "HF_TOKEN", "ro"}),
            GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(Names, ClosestNameTest,
                         testing::ValuesIn<ClosestCase>({
                             {"Itself", "cosmos-rl", "cosmos-rl"},
                             {"Swapped", "comsos-rl", "cosmos-rl"},
                             {"OneMissing", "cosmos-r", "cosmos-rl"},
                             {"DashOrUnderscore", "cosmos_predict2.5", "cosmos-predict2.5"},
                             {"LetterCase", "hf_token", "HF_TOKEN"},
                             {"OneOfTwo", "rw", "ro"},
                             {"TooFar", "vila", ""},
                             {"Empty", "", ""},
                             {"VeryLong", std::string(100'000, 'c'), ""},
                         }),
                         [](const auto& test) { return test.param.name; });

TEST(DidYouMeanTest, IsTheEndOfAMessage) {
  EXPECT_EQ(DidYouMean("rp", {"ro"}), "; did you mean \"ro\"?");
  EXPECT_EQ(DidYouMean("xyz", {"ro"}), "");
}

}  // namespace
}  // namespace tao::base
