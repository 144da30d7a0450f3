#include "gateway/http/grammar.h"

#include "gateway/http/field.h"

#include <gtest/gtest.h>

namespace tao::http {
namespace {

TEST(Grammar, DecimalIsDigitsBelowTwoToThe63) {
  EXPECT_EQ(ParseDecimal("0"), 0u);
  EXPECT_EQ(ParseDecimal("9223372036854775807"), 9223372036854775807u);
  for (const std::string_view text :
       {"", "00", "01", "+1", "-1", "1 ", "9223372036854775808", "9999999999999999999",
        "10000000000000000000", "0x1", "1,1"}) {
    EXPECT_EQ(ParseDecimal(text), std::nullopt) << text;
  }
}

TEST(Grammar, OnlySpacesAndTabsAreTrimmed) {
  EXPECT_EQ(TrimOws(" \t a b\t "), "a b");
  EXPECT_EQ(TrimOws(" \t "), "");
  EXPECT_EQ(TrimOws("\x0b"
                    "a\xa0"),
            "\x0b"
            "a\xa0");
}

std::string Listed(std::string_view value) {
  TokenListReader list(value);
  std::string all;
  std::string_view token;
  while (list.Next(&token)) all += "[" + std::string(token) + "]";
  EXPECT_FALSE(list.Next(&token));  // the end stays the end
  return all + (list.invalid() ? "!" : "") + (list.saw_empty_element() ? "," : "");
}

TEST(Grammar, TokenLists) {
  EXPECT_EQ(Listed("close"), "[close]");
  EXPECT_EQ(Listed("a,b ,\tc"), "[a][b][c]");
  EXPECT_EQ(Listed(" , a,,b, "), "[a][b],");
  EXPECT_EQ(Listed(""), ",");
  EXPECT_EQ(Listed("a, b c, d"), "[a]!");
  EXPECT_EQ(Listed("\"a\""), "!");
}

TEST(Grammar, MediaTypeIsWhatStandsBeforeTheParameters) {
  EXPECT_TRUE(HasMediaType("application/json", "application/json"));
  EXPECT_TRUE(HasMediaType("Application/JSON ; charset=utf-8", "application/json"));
  EXPECT_FALSE(HasMediaType("application/jsonp", "application/json"));
  EXPECT_FALSE(HasMediaType("text/plain; application/json", "application/json"));
  EXPECT_FALSE(HasMediaType("", "application/json"));
}

// Every FieldId is found by its own name in any case, and by nothing near it.
TEST(FieldId, NamesAndIdsAgree) {
  for (size_t i = 1; i < kFieldIdCount; ++i) {
    const auto id = static_cast<FieldId>(i);
    const std::string name(NameOf(id));
    if (id == FieldId::kXTaoOther) {
      EXPECT_EQ(name, "");
      continue;
    }
    ASSERT_NE(name, "") << i;
    std::string upper = name, lower = name, underscored = name;
    for (char& c : upper) c = static_cast<char>(std::toupper(c));
    for (char& c : lower) c = LowerChar(c);
    for (char& c : underscored) c = c == '-' ? '_' : c;
    EXPECT_EQ(FieldIdOf(name), id);
    EXPECT_EQ(FieldIdOf(upper), id);
    EXPECT_EQ(FieldIdOf(lower), id);
    EXPECT_NE(FieldIdOf(name + "x"), id);
    EXPECT_NE(FieldIdOf(name.substr(1)), id);
    EXPECT_EQ(SpoofedFieldId(underscored), underscored == name ? FieldId::kOther : id);
    EXPECT_EQ(SpoofedFieldId(name), FieldId::kOther);
  }
}

TEST(FieldId, NoOtherTokenIsTakenForAKnownName) {
  for (size_t i = 0; i < kFieldIdCount; ++i) {
    const auto id = static_cast<FieldId>(i);
    const std::string name(NameOf(id));
    for (size_t at = 0; at < name.size(); ++at) {
      for (int c = 0; c < 256; ++c) {
        std::string other = name;
        other[at] = static_cast<char>(c);
        if (!IsToken(other) || EqualsIgnoreCase(other, name)) continue;
        ASSERT_NE(FieldIdOf(other), id) << other;
      }
    }
  }
}

TEST(TokenLength, EndsAtTheFirstByteThatIsNone) {
  EXPECT_EQ(TokenLength(""), 0U);
  EXPECT_EQ(TokenLength(":"), 0U);
  EXPECT_EQ(TokenLength("Host: g"), 4U);
  EXPECT_EQ(TokenLength("Ho st: g"), 2U);
  EXPECT_EQ(TokenLength("Host"), 4U);
}

TEST(FieldId, OurPrefixIsReserved) {
  EXPECT_EQ(FieldIdOf("x-tao-"), FieldId::kXTaoOther);
  EXPECT_EQ(FieldIdOf("X-Tao-Anything-At-All-However-Long-It-Is"), FieldId::kXTaoOther);
  EXPECT_EQ(FieldIdOf("X-TAO"), FieldId::kOther);
  EXPECT_EQ(SpoofedFieldId("X_TAO_anything_at_all_however_long"), FieldId::kXTaoOther);
  EXPECT_EQ(SpoofedFieldId("my_field"), FieldId::kOther);
}

TEST(FieldId, ProtectedFieldsAreThoseThatMustArrive) {
  for (const std::string_view name :
       {"Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Content-Encoding",
        "Authorization", "X-TAO-Job-ID", "X-TAO-New"}) {
    EXPECT_TRUE(IsProtected(FieldIdOf(name))) << name;
  }
  for (const std::string_view name :
       {"Keep-Alive", "TE", "Upgrade", "Via", "Accept", "X-Model", "close"}) {
    EXPECT_FALSE(IsProtected(FieldIdOf(name))) << name;
  }
}

TEST(FieldList, AddsUpToItsCapacity) {
  FieldList fields;
  for (size_t i = 0; i < FieldList::kCapacity; ++i)
    EXPECT_TRUE(fields.Add({FieldId::kVia, "Via", "x"}));
  EXPECT_FALSE(fields.Add({FieldId::kHost, "Host", "x"}));
  EXPECT_FALSE(fields.Has(FieldId::kHost));
  EXPECT_EQ(fields.Count(FieldId::kVia), FieldList::kCapacity);
}

}  // namespace
}  // namespace tao::http
