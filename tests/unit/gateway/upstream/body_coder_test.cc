#include "gateway/upstream/body_coder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gateway/http/body_reader.h"

namespace tao::upstream {
namespace {

std::string TextOf(const transport::Gather& gather) {
  std::string text;
  for (const auto& piece : gather.pieces()) {
    text.append(static_cast<const char*>(piece.data()), piece.size());
  }
  return text;
}

TEST(BodyCoderTest, KnownLengthPassesAsItIs) {
  BodyCoder coder(false);
  EXPECT_EQ(TextOf(coder.Encode({"abc", false}, "HEAD")), "HEADabc");
  EXPECT_EQ(TextOf(coder.Encode({"", false})), "");
  EXPECT_EQ(TextOf(coder.Encode({"d", true})), "d");
}

TEST(BodyCoderTest, LastByteOfAChunkedBodyGoesWithItsEnd) {
  BodyCoder coder(true);
  EXPECT_EQ(TextOf(coder.Encode({"abc", false}, "HEAD")), "HEAD2\r\nab\r\n");
  EXPECT_EQ(TextOf(coder.Encode({"d", false})), "1\r\nc\r\n");
  EXPECT_EQ(TextOf(coder.Encode({"", false})), "");
  EXPECT_EQ(TextOf(coder.Encode({"efg", false})), "3\r\ndef\r\n");
  EXPECT_EQ(TextOf(coder.Encode({"", true})), "1\r\ng\r\n0\r\n\r\n");
}

TEST(BodyCoderTest, ChunkedBodyOfNothing) {
  BodyCoder coder(true);
  EXPECT_EQ(TextOf(coder.Encode({"", true}, "HEAD")), "HEAD0\r\n\r\n");
}

// Whatever the pieces, the decoder of the other side gets the body.
TEST(BodyCoderTest, DecodesToTheSameBody) {
  const std::string body = R"({"model":"m","messages":[]})";
  for (size_t piece_bytes = 1; piece_bytes <= body.size() + 1; ++piece_bytes) {
    BodyCoder coder(true);
    std::string wire;
    for (size_t at = 0; at < body.size(); at += piece_bytes) {
      wire += TextOf(coder.Encode({std::string_view(body).substr(at, piece_bytes), false}));
      EXPECT_EQ(wire.find('}'), std::string::npos);
    }
    wire += TextOf(coder.Encode({"", true}));
    std::string decoded;
    http::BodyReader reader({http::BodyFraming::Kind::kChunked, 0});
    std::string_view input = wire;
    while (!reader.done()) {
      const http::BodyStep step = reader.Next(input);
      ASSERT_NE(step.state, http::BodyStep::State::kError);
      decoded += step.data;
      input.remove_prefix(step.consumed);
    }
    EXPECT_EQ(decoded, body);
  }
}

}  // namespace
}  // namespace tao::upstream
