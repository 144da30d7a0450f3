#include "server/platforms/local_process/parent/secret_filter.h"

#include <gtest/gtest.h>

namespace tao::process_parent {
namespace {

// `text` through the filter in pieces of `size` bytes.
std::string Filtered(const std::vector<std::string>& values, std::string_view text, size_t size) {
  SecretFilter filter(values);
  std::string out;
  for (; !text.empty(); text.remove_prefix(std::min(size, text.size()))) {
    out += filter.Add(text.substr(0, size));
  }
  return out + filter.TakeRest();
}

TEST(SecretFilterTest, TakesValuesOutHoweverTheOutputIsCut) {
  const std::vector<std::string> values = {"hf_abcdefgh", "hf_abcdefgh-longer", "xyzhf_abc"};
  const std::string text =
      "a hf_abcdefgh b hf_abcdefgh-longer c hf_abcdefghhf_abcdefgh hf_abc xyzhf_abcdefgh hf_abcdef";
  for (size_t size = 1; size <= text.size(); ++size) {
    EXPECT_EQ(Filtered(values, text, size), "a *** b *** c ****** hf_abc ***defgh hf_abcdef")
        << "in pieces of " << size;
  }
}

TEST(SecretFilterTest, ShorterValueAtTheEndOfTheOutput) {
  EXPECT_EQ(Filtered({"12345678", "12345678-and-more"}, "token 12345678", 3), "token ***");
}

TEST(SecretFilterTest, HoldsOnlyWhatMayBecomeAValue) {
  SecretFilter filter({"secret-value"});
  EXPECT_EQ(filter.Add("listening on 8081\n"), "listening on 8081\n");
  EXPECT_EQ(filter.Add("its secret-"), "its ");
  EXPECT_EQ(filter.Add("s\n"), "secret-s\n");
}

TEST(SecretFilterTest, LeavesShortValuesAndOutputWithoutSecrets) {
  EXPECT_EQ(Filtered({"", "abc"}, "abc abc", 2), "abc abc");
  EXPECT_EQ(Filtered({}, "anything", 3), "anything");
}

}  // namespace
}  // namespace tao::process_parent
