#include "server/contract/secret_automaton.h"

#include <gtest/gtest.h>

#include <random>

namespace tao::contract {
namespace {

// Not literals: GCC 12 sees an overflow in copies of some.
std::string First(size_t size) {
  static const auto* const text = new std::string("sixteen-letters-and-more");
  return text->substr(0, size);
}

bool Holds(const SecretAutomaton& automaton, const std::vector<std::string>& pieces) {
  SecretAutomaton::Text text;
  bool found = false;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (automaton.Feed(text, pieces[i], i + 1 == pieces.size())) found = true;
  }
  return found;
}

TEST(SecretAutomatonTest, ShortValuesAreNotLookedFor) {
  EXPECT_EQ(SecretAutomaton::Build({}), nullptr);
  EXPECT_EQ(SecretAutomaton::Build({"", "password", First(15)}), nullptr);
  const auto automaton = SecretAutomaton::Build({"password", First(16)});
  ASSERT_NE(automaton, nullptr);
  EXPECT_FALSE(Holds(*automaton, {"my password"}));
  EXPECT_TRUE(Holds(*automaton, {"my " + First(16)}));
}

TEST(SecretAutomatonTest, AValueIsFoundAtEveryPlaceAndSplit) {
  const std::string secret = "hf_QmFzZTY0LWlzLW5vdC1hLXNlY3JldA";
  const auto automaton = SecretAutomaton::Build({secret, "nvapi-0123456789abcdef"});
  for (size_t before = 0; before < 150; before += 3) {
    const std::string text = std::string(before, 'x') + secret + std::string(before % 90, 'y');
    EXPECT_TRUE(Holds(*automaton, {text}));
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      ASSERT_TRUE(Holds(*automaton, {text.substr(0, cut), text.substr(cut)}))
          << before << " " << cut;
    }
    std::vector<std::string> bytes;
    for (const char c : text) bytes.emplace_back(1, c);
    EXPECT_TRUE(Holds(*automaton, bytes));
  }
}

TEST(SecretAutomatonTest, ATextEndsWithItsLastPiece) {
  const auto automaton = SecretAutomaton::Build({First(16)});
  SecretAutomaton::Text text;
  EXPECT_FALSE(automaton->Feed(text, "sixteen-", true));
  EXPECT_FALSE(automaton->Feed(text, "letters-", true));
  EXPECT_FALSE(automaton->Feed(text, "sixteen-", false));
  EXPECT_TRUE(automaton->Feed(text, "letters-", true));
}

TEST(SecretAutomatonTest, OfAVeryLongValueItsBeginningIsFound) {
  std::string secret;
  for (int i = 0; secret.size() < 2 * kLongestSecret; ++i) secret += std::to_string(i);
  const auto automaton = SecretAutomaton::Build({secret});
  EXPECT_TRUE(Holds(*automaton, {"x" + secret.substr(0, 200), secret.substr(200)}));
  EXPECT_FALSE(Holds(*automaton, {secret.substr(1)}));
}

TEST(SecretAutomatonTest, EveryByteMayOccurInAValue) {
  std::string secret;
  for (int i = 0; i < 256; ++i) secret += static_cast<char>(255 - i);
  const auto automaton = SecretAutomaton::Build({secret});
  EXPECT_TRUE(Holds(*automaton, {"x" + secret.substr(0, 100), secret.substr(100) + "y"}));
  secret[200] = 'x';
  EXPECT_FALSE(Holds(*automaton, {secret}));
}

// Values and texts of two letters meet in every way that there is; std::string::find is the judge.
TEST(SecretAutomatonTest, AgreesWithFind) {
  std::mt19937 random(7);
  const auto fill = [&random](std::string& text, size_t size) {
    while (text.size() < size) text += random() % 8 == 0 ? 'b' : 'a';
  };
  int found = 0, missed = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> values(1 + random() % 4);
    for (std::string& value : values) fill(value, 16 + random() % 40);
    std::string text;
    fill(text, random() % 400);
    const auto automaton = SecretAutomaton::Build(values);
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + random() % (random() % 2 == 0 ? 10 : 300);
      pieces.push_back(text.substr(at, size));
      at += size;
    }
    if (pieces.empty() || random() % 3 == 0) pieces.emplace_back();
    bool expected = false;
    for (const std::string& value : values) {
      expected = expected || text.find(value) != std::string::npos;
    }
    ASSERT_EQ(Holds(*automaton, pieces), expected) << "round " << round;
    ++(expected ? found : missed);
  }
  EXPECT_GT(found, 100);
  EXPECT_GT(missed, 100);
}

}  // namespace
}  // namespace tao::contract
