#include "server/base/secret.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "server/base/strings.h"

namespace tao::base {
namespace {

TEST(SecretTest, PrintsAsStars) {
  std::ostringstream out;
  out << Secret("hf_printed0000") << " " << Secret();
  EXPECT_EQ(out.str(), "*** ***");
}

TEST(SecretTest, RevealsItsValueAndCompares) {
  const Secret secret("hf_revealed0000");
  const Secret copy = secret;
  EXPECT_EQ(copy.Reveal(), "hf_revealed0000");
  EXPECT_EQ(copy, secret);
  EXPECT_FALSE(copy == Secret("hf_other00000000"));
  EXPECT_TRUE(Secret().empty());
}

TEST(SecretTest, ReadsTheEnvironment) {
  ASSERT_EQ(setenv("TAO_TEST_TOKEN", "env-value-0000", 1), 0);
  EXPECT_EQ(SecretFromEnvironment("TAO_TEST_TOKEN").Reveal(), "env-value-0000");
  ASSERT_EQ(setenv("TAO_TEST_TOKEN", "", 1), 0);
  EXPECT_TRUE(SecretFromEnvironment("TAO_TEST_TOKEN").empty());
  ASSERT_EQ(unsetenv("TAO_TEST_TOKEN"), 0);
  EXPECT_TRUE(SecretFromEnvironment("TAO_TEST_TOKEN").empty());
}

TEST(RedactTest, ReplacesEveryOccurrence) {
  const Secret secret("hf_redacted0000");
  EXPECT_EQ(Redact("a hf_redacted0000hf_redacted0000 b"), "a ****** b");
  EXPECT_EQ(Redact("hf_redacted000"), "hf_redacted000");
  EXPECT_EQ(Redact(""), "");
}

TEST(RedactTest, StillKnowsAValueWhoseOwnerIsGone) {
  { const Secret secret("hf_shortlived00"); }
  EXPECT_EQ(Redact("hf_shortlived00"), "***");
}

TEST(RedactTest, LeavesShortValues) {
  const Secret secret("seven77");
  EXPECT_EQ(Redact("seven77"), "seven77");
  const Secret shortest("eight888");
  EXPECT_EQ(Redact("eight888"), "***");
}

TEST(RedactTest, QuotedTextHasNoSecretHoweverItIsCutOrEscaped) {
  const Secret secret("quoted \"value\" \\ with ü");
  EXPECT_EQ(Quoted("key " + secret.Reveal()), "\"key ***\"");
  EXPECT_EQ(Quoted("key " + secret.Reveal(), 8), "\"key ***\"");
  EXPECT_EQ(Quoted("key " + secret.Reveal() + "!", 6), "\"key **\"... (29 bytes)");
}

// Of two keys of which one begins the other, the longer must not leave its tail.
TEST(RedactTest, SecretInsideAnotherLeavesNothingOfIt) {
  const Secret inner("nvapi-abcd"), longer("nvapi-abcd-efgh-ijkl"), tail("efgh-ijkl");
  EXPECT_EQ(Redact("key nvapi-abcd-efgh-ijkl, nvapi-abcd"), "key ***, ***");
}

}  // namespace
}  // namespace tao::base
