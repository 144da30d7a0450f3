// Limits and both directions of the chunked coding. Its grammar is in the corpus (C29 to C40).

#include "gateway/http/chunked.h"

#include <gtest/gtest.h>

#include <random>

namespace tao::http {
namespace {

struct Decoded {
  std::string data;
  size_t consumed = 0;
  int status = 0;  // of an error
  bool done = false;
};

Decoded Decode(std::string_view input, size_t piece_bytes, const ChunkedLimits& limits = {}) {
  ChunkedDecoder decoder(limits);
  Decoded decoded;
  BodyStep step;
  while (decoded.consumed < input.size() && step.state == BodyStep::State::kNeedMore) {
    step = decoder.Next(input.substr(decoded.consumed, piece_bytes));
    decoded.data += step.data;
    decoded.consumed += step.consumed;
  }
  decoded.done = step.state == BodyStep::State::kDone;
  decoded.status = decoder.error().status;
  return decoded;
}

TEST(Chunked, DataIsHandedOutWithoutACopy) {
  const std::string input = "5;a=b\r\nhello\r\n0\r\n\r\nGET";
  ChunkedDecoder decoder;
  const BodyStep step = decoder.Next(input);
  EXPECT_EQ(step.data, "hello");
  EXPECT_EQ(step.data.data(), input.data() + 7);
  EXPECT_EQ(step.consumed, 12u);
  const BodyStep end = decoder.Next(std::string_view(input).substr(step.consumed));
  EXPECT_EQ(end.state, BodyStep::State::kDone);
  EXPECT_EQ(input.substr(step.consumed + end.consumed), "GET");
}

TEST(Chunked, StaysDoneAndStaysBroken) {
  ChunkedDecoder done;
  EXPECT_EQ(done.Next("0\r\n\r\n").state, BodyStep::State::kDone);
  EXPECT_EQ(done.Next("x").state, BodyStep::State::kDone);
  EXPECT_EQ(done.Next("x").consumed, 0u);
  ChunkedDecoder broken;
  EXPECT_EQ(broken.Next("x").state, BodyStep::State::kError);
  EXPECT_EQ(broken.Next("0\r\n\r\n").state, BodyStep::State::kError);
}

// The largest size is taken as it is: 2^63-1 bytes are awaited, and none is handed out twice.
TEST(Chunked, TheLargestSizeDoesNotOverflow) {
  const Decoded decoded = Decode("7fffffffffffffff\r\nabc", 64);
  EXPECT_EQ(decoded.data, "abc");
  EXPECT_EQ(decoded.status, 0);
  EXPECT_EQ(Decode("8000000000000000\r\n", 64).status, 400);
  EXPECT_EQ(Decode("ffffffffffffffff\r\n", 64).status, 400);
  EXPECT_EQ(Decode("10000000000000000\r\n", 64).status, 400);
}

TEST(Chunked, LinesAndTrailersOfExactlyTheLimitFit) {
  const ChunkedLimits limits{.line_bytes = 8, .trailer_bytes = 10};
  for (const size_t piece : {1, 1000}) {
    EXPECT_TRUE(Decode("1;aaaaaa\r\nx\r\n0;aaaaaa\r\n\r\n", piece, limits).done);
    EXPECT_EQ(Decode("1;aaaaaaa\r\nx\r\n0\r\n\r\n", piece, limits).status, 400);
    EXPECT_EQ(Decode("000000001\r\nx\r\n0\r\n\r\n", piece, limits).status, 400);
    EXPECT_TRUE(Decode("0\r\nX: 12345\r\n\r\n", piece, limits).done);
    EXPECT_EQ(Decode("0\r\nX: 123456\r\n\r\n", piece, limits).status, 431);
    EXPECT_TRUE(Decode("0\r\nA:\r\nB:x\r\n\r\n", piece, {.trailer_bytes = 9}).done);
    EXPECT_EQ(Decode("0\r\nA:\r\nB:x\r\n\r\n", piece, {.trailer_bytes = 8}).status, 431);
  }
}

TEST(Chunked, WhatIsEncodedIsDecoded) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string data, wire;
    for (int chunk = random() % 6; chunk > 0; --chunk) {
      std::string piece(1 + random() % 300, '\0');
      for (char& c : piece) c = static_cast<char>(random());
      data += piece;
      wire.append(ChunkHeader(piece.size()).text()).append(piece).append(kChunkEnd);
    }
    wire += kLastChunk;
    const Decoded decoded = Decode(wire + "next", 1 + random() % 50);
    EXPECT_TRUE(decoded.done);
    EXPECT_EQ(decoded.data, data);
    EXPECT_EQ(decoded.consumed, wire.size());
  }
}

TEST(Chunked, HeadersAreHexadecimal) {
  EXPECT_EQ(ChunkHeader(1).text(), "1\r\n");
  EXPECT_EQ(ChunkHeader(27).text(), "1b\r\n");
  EXPECT_EQ(ChunkHeader(SIZE_MAX).text(), "ffffffffffffffff\r\n");
}

}  // namespace
}  // namespace tao::http
