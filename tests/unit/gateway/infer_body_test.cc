#include "gateway/infer_body.h"

#include <absl/strings/escaping.h>
#include <gtest/gtest.h>

#include <string>

namespace tao::gateway {
namespace {

struct Sent {
  std::string body;
  int pieces = 0;
  size_t largest = 0;
};

Sent Send(InferBody body) {
  Sent sent;
  const uint64_t size = body.size();
  for (bool last = false; !last;) {
    const transport::BodyPiece piece = body.Next();
    last = piece.last;
    sent.body += piece.data;
    ++sent.pieces;
    sent.largest = std::max(sent.largest, piece.data.size());
  }
  EXPECT_EQ(sent.body.size(), size);
  return sent;
}

std::string Bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return bytes;
}

TEST(InferBodyTest, OneTextIsSentWhole) {
  const Sent sent = Send(InferBody("{}"));
  EXPECT_EQ(sent.body, "{}");
  EXPECT_EQ(sent.pieces, 1);
}

TEST(InferBodyTest, AnEmptyBodyEndsToo) { EXPECT_EQ(Send({}).body, ""); }

TEST(InferBodyTest, BytesBecomeBase64OfOnePiece) {
  // About every border: of a group of three bytes, and of what is encoded at once.
  for (const size_t count : {0, 1, 2, 3, 4, 49151, 49152, 49153, 98304, 200000}) {
    InferBody body;
    body.AddText("data:image/png;base64,");
    body.AddBase64(Bytes(count));
    body.AddText("\"}");
    std::string encoded;
    absl::Base64Escape(Bytes(count), &encoded);
    EXPECT_EQ(Send(std::move(body)).body, "data:image/png;base64," + encoded + "\"}") << count;
  }
}

TEST(InferBodyTest, MayEndWithBytes) {
  InferBody body;
  body.AddBase64(Bytes(100000));
  std::string encoded;
  absl::Base64Escape(Bytes(100000), &encoded);
  EXPECT_EQ(Send(std::move(body)).body, encoded);
}

TEST(InferBodyTest, AVideoIsNeverHeldAsBase64) {
  InferBody body;
  body.AddBase64(std::string(10 << 20, 'v'));
  const Sent sent = Send(std::move(body));
  EXPECT_GT(sent.pieces, 100);
  EXPECT_LE(sent.largest, size_t{64} * 1024);
}

}  // namespace
}  // namespace tao::gateway
