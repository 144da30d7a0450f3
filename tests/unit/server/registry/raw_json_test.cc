#include "server/registry/raw_json.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <random>

namespace tao::registry {
namespace {

using testing::SizeIs;

std::string Reprinted(const std::string& text) {
  const auto members = SplitObject(text);
  return members.ok() ? PrintObject(*members) : std::string(members.status().message());
}

TEST(RawJsonTest, NumbersAndEscapesStayAsTheyAreWritten) {
  const auto members = SplitObject(
      R"({"a": 1.10, "b":123456789012345678901234567890, "c\u00e9": "\u00e9\/", "d": [ 1e3 ,-0.0]})");
  ASSERT_TRUE(members.ok()) << members.status();
  ASSERT_THAT(*members, SizeIs(4));
  EXPECT_EQ((*members)[0].value, "1.10");
  EXPECT_EQ((*members)[1].value, "123456789012345678901234567890");
  EXPECT_EQ((*members)[2].name, "c\xc3\xa9");
  EXPECT_EQ((*members)[2].name_text, "\"c\\u00e9\"");
  EXPECT_EQ((*members)[2].value, "\"\\u00e9\\/\"");
  EXPECT_EQ((*members)[3].value, "[ 1e3 ,-0.0]");
}

// The text is what Python prints: json.dumps(json.loads(text), indent=2).
TEST(RawJsonTest, PrintsAsPythonDoes) {
  EXPECT_EQ(Reprinted(R"({"a":{"b":[1,{"c":"x,y:{}"}],"d":{},"e":[ ]},"f":null})"),
            R"({
  "a": {
    "b": [
      1,
      {
        "c": "x,y:{}"
      }
    ],
    "d": {},
    "e": []
  },
  "f": null
})");
  EXPECT_EQ(Reprinted(" { } "), "{}");
}

TEST(RawJsonTest, LastOfEqualNamesStandsAtThePlaceOfTheFirst) {
  EXPECT_EQ(Reprinted(R"({"a": 1, "b": 2, "\u0061": 3})"), "{\n  \"a\": 3,\n  \"b\": 2\n}");
}

TEST(RawJsonTest, ByteOrderMarkIsSkipped) { EXPECT_EQ(Reprinted("\xef\xbb\xbf{}"), "{}"); }

TEST(RawJsonTest, DeepNestingIsNoRecursion) {
  const std::string deep(200'000, '[');
  const std::string text = "{\"a\":" + deep + std::string(deep.size(), ']') + "}";
  const auto members = SplitObject(text);
  ASSERT_TRUE(members.ok()) << members.status();
  EXPECT_EQ((*members)[0].value.size(), 2 * deep.size());
}

TEST(RawJsonTest, WhatIsNoObjectIsRefused) {
  for (const char* const text : {"", "[]", "1", "{", "{\"a\":1,}", "{'a':1}", "{\"a\":NaN}",
                                 "{\"a\":\"\xff\"}", "{} x", "null"}) {
    EXPECT_EQ(SplitObject(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

// A random value, built as text with random spacing.
std::string RandomValue(std::mt19937& random, int depth) {
  const auto space = [&] { return std::string(random() % 3, " \n\t"[random() % 3]); };
  switch (random() % (depth > 0 ? 7 : 4)) {
    case 0:
      return std::to_string(static_cast<int>(random()));
    case 1:
      return "\"" + std::string(random() % 4, 'x') + "\\\"{[,:\\\\\"";
    case 2:
      return "true";
    case 3:
      return "-1.50e+7";
    case 4: {
      std::string text = "[";
      for (uint32_t n = random() % 4; n > 0; --n) {
        text += space() + RandomValue(random, depth - 1) + space() + (n > 1 ? "," : "");
      }
      return text + "]";
    }
    default: {
      std::string text = "{";
      for (uint32_t n = random() % 4; n > 0; --n) {
        text += space() + "\"k" + std::to_string(n) + "\"" + space() + ":" + space() +
                RandomValue(random, depth - 1) + space() + (n > 1 ? "," : "");
      }
      return text + "}";
    }
  }
}

// nlohmann's ordered_json is the oracle: the same tree, and the same print where no number is
// involved whose text it would change.
TEST(RawJsonTest, RandomObjectsKeepTheirMeaning) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 2'000; ++round) {
    const std::string text = "{\"root\":" + RandomValue(random, 4) + "}";
    SCOPED_TRACE(text);
    const auto members = SplitObject(text);
    ASSERT_TRUE(members.ok()) << members.status();
    const std::string printed = PrintObject(*members);
    EXPECT_EQ(nlohmann::ordered_json::parse(printed), nlohmann::ordered_json::parse(text));
    EXPECT_EQ(Reprinted(printed), printed);
    if (text.find("1.50") == std::string::npos) {
      EXPECT_EQ(printed, nlohmann::ordered_json::parse(text).dump(2));
    }
  }
}

TEST(RawJsonTest, RandomBytesAreReadOrRefused) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr std::string_view kAlphabet = "{}[]\",:\\ \n0123456789.eE+-truefalsn\xc3\xa9u";
  int accepted = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string text = round % 2 == 0 ? "{\"a\":" : "";
    for (uint32_t n = random() % 12; n > 0; --n) text += kAlphabet[random() % kAlphabet.size()];
    if (round % 2 == 0) text += "}";
    const auto members = SplitObject(text);
    if (!members.ok()) continue;
    ++accepted;
    EXPECT_EQ(nlohmann::json::parse(PrintObject(*members)), nlohmann::json::parse(text)) << text;
  }
  EXPECT_GT(accepted, 0);
}

}  // namespace
}  // namespace tao::registry
