#include "server/contract/base64_framing.h"

#include <gtest/gtest.h>

#include <random>

namespace tao::contract {
namespace {

using Fault = Base64Framing::Fault;

TEST(Base64FramingTest, EachFaultAtEverySplit) {
  const struct {
    const char* text;
    Fault fault;
  } cases[] = {
      {"QUJD", Fault::kNone},
      {"QUI=", Fault::kNone},
      {"QQ==", Fault::kNone},
      {"+/09AZaz", Fault::kNone},
      {"", Fault::kEmpty},
      {"QUJ", Fault::kLength},
      {"QQ=", Fault::kLength},
      {"Q===", Fault::kPadding},
      {"====", Fault::kPadding},
      {"QU D", Fault::kForeignByte},
      {"QU\nD", Fault::kForeignByte},
      {"QU-_", Fault::kForeignByte},
      {"QU\xc3\xa9", Fault::kForeignByte},
      {"QQ==QUJD", Fault::kAfterPadding},
      {"QQ=Q", Fault::kAfterPadding},
  };
  for (const auto& each : cases) {
    const std::string_view text = each.text;
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      Base64Framing framing;
      framing.Feed(text.substr(0, cut));
      framing.Feed(text.substr(cut));
      EXPECT_EQ(framing.Finish(), each.fault) << text << " cut at " << cut;
      EXPECT_EQ(framing.length(), text.size());
    }
  }
}

TEST(Base64FramingTest, TellsTheBadByteAndItsPlace) {
  Base64Framing framing;
  framing.Feed(std::string(1000, 'A'));
  framing.Feed("AAA*AAAA");
  EXPECT_EQ(framing.Finish(), Fault::kForeignByte);
  EXPECT_EQ(framing.bad_byte(), '*');
  EXPECT_EQ(framing.bad_at(), 1003u);
}

// Every byte, at every place of the blocks that the kernels read.
TEST(Base64FramingTest, KernelsStopWhereTheReferenceDoes) {
  std::mt19937 random(20);
  std::string text;
  for (int i = 0; i < 700; ++i) {
    text += "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[random() & 63];
  }
  for (int byte = 0; byte < 256; ++byte) {
    for (size_t at = 0; at < text.size(); at += 1 + at / 300 + random() % 7) {
      std::string changed = text;
      changed[at] = static_cast<char>(byte);
      const size_t from = random() % (at + 1);
      const char* const begin = changed.data() + from;
      const char* const end = changed.data() + changed.size();
      ASSERT_EQ(SkipBase64(begin, end), SkipBase64ByBytes(begin, end)) << byte << " at " << at;
    }
  }
}

}  // namespace
}  // namespace tao::contract
