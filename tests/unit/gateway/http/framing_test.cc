// Responses' framing, and the body reader. The requests' framing is in the corpus.

#include "gateway/http/framing.h"

#include "gateway/http/body_reader.h"
#include "gateway/http/head_parser.h"

#include <gtest/gtest.h>

namespace tao::http {
namespace {

struct Framed {
  MessageError error;
  BodyFraming framing;
  std::optional<uint64_t> declared_length;
};

Framed FrameResponse(const std::string& status_line, const std::string& fields,
                     Method method = Method::kPost) {
  const std::string bytes = status_line + "\r\n" + fields + "\r\n";
  ResponseHeadParser parser;
  EXPECT_EQ(parser.Parse(bytes), ParseState::kComplete);
  Framed framed;
  framed.error =
      DecideResponseFraming(parser.head(), method, &framed.framing, &framed.declared_length);
  return framed;
}

std::string Kind(const Framed& framed) {
  if (framed.error) return std::to_string(framed.error.status);
  switch (framed.framing.kind) {
    case BodyFraming::Kind::kNone:
      return "none";
    case BodyFraming::Kind::kLength:
      return std::to_string(framed.framing.length) + " bytes";
    case BodyFraming::Kind::kChunked:
      return "chunked";
    case BodyFraming::Kind::kUntilClose:
      return "until close";
  }
  return "?";
}

TEST(ResponseFraming, IsDecidedOrRefused) {
  struct Case {
    std::string status_line, fields, want;
    Method method = Method::kPost;
  };
  const std::string ok = "HTTP/1.1 200 OK";
  const std::string chunked = "Transfer-Encoding: Chunked\r\n";
  const std::vector<Case> cases = {
      {ok, "Content-Length: 5\r\n", "5 bytes"},
      {ok, "Content-Length: 0\r\n", "0 bytes"},
      {ok, chunked, "chunked"},
      {ok, "", "until close"},
      {"HTTP/1.0 200 OK", "", "until close"},
      {"HTTP/1.0 200 OK", "Content-Length: 5\r\n", "5 bytes"},
      {ok, "Content-Length: 5\r\n", "none", Method::kHead},
      {ok, chunked, "none", Method::kHead},
      {"HTTP/1.1 204 No Content", "", "none"},
      {"HTTP/1.1 204 No Content", "Content-Length: 5\r\n", "none"},
      {"HTTP/1.1 304 Not Modified", "Content-Length: 5\r\n", "none"},
      {"HTTP/1.1 100 Continue", "", "none"},
      {"HTTP/1.1 101 Switching Protocols", "", "none"},
      // U01
      {ok, "Content-Length: 5\r\n" + chunked, "502"},
      {ok, "Content-Length: 5\r\nContent-Length: 6\r\n", "502"},
      {ok, "Content-Length: 5\r\nContent-Length: 5\r\n", "502"},
      {ok, "Content-Length: 5, 5\r\n", "502"},
      {ok, "Content-Length: x\r\n", "502"},
      {ok, "Content-Length: \r\n", "502"},
      {ok, chunked + chunked, "502"},
      {ok, "Transfer-Encoding: gzip, chunked\r\n", "502"},
      {ok, "Transfer-Encoding: identity\r\n", "502"},
      {"HTTP/1.0 200 OK", chunked, "502"},
      {"HTTP/1.1 304 Not Modified", "Content-Length: 5\r\n" + chunked, "502"},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(Kind(FrameResponse(each.status_line, each.fields, each.method)), each.want)
        << each.status_line << " " << each.fields;
  }
}

TEST(ResponseFraming, TheLengthOfAHeadAnswerIsKept) {
  EXPECT_EQ(
      FrameResponse("HTTP/1.1 200 OK", "Content-Length: 5\r\n", Method::kHead).declared_length, 5u);
  EXPECT_EQ(FrameResponse("HTTP/1.1 200 OK", "", Method::kHead).declared_length, std::nullopt);
}

TEST(BodyReader, NoneAndZeroBytesAreDoneBeforeTheyBegin) {
  for (const BodyFraming framing :
       {BodyFraming{}, BodyFraming{.kind = BodyFraming::Kind::kLength, .length = 0}}) {
    BodyReader body(framing);
    EXPECT_TRUE(body.done());
    const BodyStep step = body.Next("GET");
    EXPECT_EQ(step.state, BodyStep::State::kDone);
    EXPECT_EQ(step.consumed, 0u);
    EXPECT_TRUE(body.OnEof());
  }
}

TEST(BodyReader, ALengthEndsAtItsByte) {
  BodyReader body({.kind = BodyFraming::Kind::kLength, .length = 5});
  BodyStep step = body.Next("abc");
  EXPECT_EQ(step.state, BodyStep::State::kNeedMore);
  EXPECT_EQ(step.data, "abc");
  EXPECT_EQ(body.Next("").state, BodyStep::State::kNeedMore);
  EXPECT_FALSE(body.OnEof());  // C38, U03
  step = body.Next("deGET");
  EXPECT_EQ(step.state, BodyStep::State::kDone);
  EXPECT_EQ(step.data, "de");
  EXPECT_EQ(step.consumed, 2u);
  EXPECT_EQ(body.body_bytes(), 5u);
  EXPECT_TRUE(body.OnEof());
}

TEST(BodyReader, UntilCloseIsWholeOnlyAtTheEnd) {
  BodyReader body({.kind = BodyFraming::Kind::kUntilClose});
  EXPECT_EQ(body.Next("abc").state, BodyStep::State::kNeedMore);
  EXPECT_FALSE(body.done());
  EXPECT_TRUE(body.OnEof());
  EXPECT_EQ(body.Next("x").state, BodyStep::State::kDone);
  EXPECT_EQ(body.body_bytes(), 3u);
}

TEST(BodyReader, AChunkedBodyWithoutItsLastChunkIsTruncated) {
  BodyReader body({.kind = BodyFraming::Kind::kChunked});
  const BodyStep step = body.Next("3\r\nabc\r\n");
  EXPECT_EQ(step.data, "abc");
  EXPECT_EQ(body.Next("\r\n0\r\n").state, BodyStep::State::kNeedMore);
  EXPECT_FALSE(body.OnEof());
  EXPECT_EQ(body.Next("\r\n").state, BodyStep::State::kDone);
  EXPECT_TRUE(body.OnEof());
}

}  // namespace
}  // namespace tao::http
