#include "gateway/http/head_parser.h"

#include <gtest/gtest.h>

#include <memory>

namespace tao::http {
namespace {

const std::string kStart = "GET /v1/models?a=1 HTTP/1.1\r\n";

RequestHeadParser Parsed(const std::string& bytes, ParseState want = ParseState::kComplete) {
  RequestHeadParser parser;
  EXPECT_EQ(parser.Parse(bytes), want);
  return parser;
}

TEST(RequestHead, TellsTheTargetApart) {
  const std::string bytes = "POST http://G:80?x=%20 HTTP/1.0\r\nHost: h\r\n\r\nrest";
  const RequestHeadParser parser = Parsed(bytes);
  const RequestHead& head = parser.head();
  EXPECT_EQ(head.method, Method::kPost);
  EXPECT_EQ(head.version, Version::kHttp10);
  EXPECT_EQ(head.form, TargetForm::kAbsolute);
  EXPECT_EQ(head.target, "http://G:80?x=%20");
  EXPECT_EQ(head.authority, "G:80");
  EXPECT_EQ(head.path, "/");
  EXPECT_TRUE(head.has_query);
  EXPECT_EQ(head.query, "x=%20");
  EXPECT_EQ(bytes.substr(parser.head_bytes()), "rest");
}

TEST(RequestHead, TellsNoQueryFromAnEmptyOne) {
  EXPECT_FALSE(Parsed("GET /x HTTP/1.1\r\nHost: g\r\n\r\n").head().has_query);
  const std::string bytes = "GET /x? HTTP/1.1\r\nHost: g\r\n\r\n";
  EXPECT_TRUE(Parsed(bytes).head().has_query);
}

TEST(RequestHead, FieldsKeepOrderSpellingAndBytes) {
  const std::string bytes =
      kStart + "hOST:g\r\nX-Whatever: \x80\xff a\t b \t\r\nX-Empty:\r\nx-tao-job-ID:  7\r\n\r\n";
  const RequestHeadParser parser = Parsed(bytes);
  const FieldList& fields = parser.head().fields;
  ASSERT_EQ(fields.size(), 4u);
  EXPECT_EQ(fields[0].id, FieldId::kHost);
  EXPECT_EQ(fields[0].name, "hOST");
  EXPECT_EQ(fields[1].id, FieldId::kOther);
  EXPECT_EQ(fields[1].value, "\x80\xff a\t b");
  EXPECT_EQ(fields[2].value, "");
  EXPECT_EQ(fields.ValueOf(FieldId::kXTaoJobId), "7");
  EXPECT_EQ(fields.FindByName("x-whatever"), &fields[1]);
  EXPECT_EQ(fields.FindByName("x-what"), nullptr);
  EXPECT_EQ(fields.Count(FieldId::kHost), 1u);
  EXPECT_EQ(fields.Find(FieldId::kConnection), nullptr);
  // In place: the views point into the buffer.
  EXPECT_EQ(fields[1].value.data(), bytes.data() + bytes.find('\x80'));
}

// A buffer that grows moves; views taken before must not survive. It moves away and back here, so
// that comparing the first and the last place would not do.
TEST(RequestHead, ViewsFollowABufferThatMovedAwayAndBack) {
  const std::string bytes = kStart + "Host: g\r\nX-A: 1\r\nX-B: 2\r\n\r\n";
  RequestHeadParser parser;
  EXPECT_EQ(parser.Parse(std::string_view(bytes).substr(0, 40)), ParseState::kNeedMore);
  {
    const auto elsewhere = std::make_unique<std::string>(bytes.substr(0, bytes.size() - 3));
    EXPECT_EQ(parser.Parse(*elsewhere), ParseState::kNeedMore);
  }
  EXPECT_EQ(parser.Parse(std::string_view(bytes).substr(0, bytes.size() - 1)),
            ParseState::kNeedMore);
  ASSERT_EQ(parser.Parse(bytes), ParseState::kComplete);
  ASSERT_EQ(parser.head().fields.size(), 3u);
  for (const Field& field : parser.head().fields) {
    EXPECT_GE(field.name.data(), bytes.data());
    EXPECT_LT(field.name.data(), bytes.data() + bytes.size());
  }
  EXPECT_EQ(parser.head().path.data(), bytes.data() + 4);
}

TEST(RequestHead, ResetForgetsEverything) {
  RequestHeadParser parser;
  EXPECT_FALSE(parser.started());
  EXPECT_EQ(parser.Parse("\r\n"), ParseState::kNeedMore);
  EXPECT_FALSE(parser.started());
  EXPECT_EQ(parser.Parse("\r\n:"), ParseState::kError);
  EXPECT_TRUE(parser.started());
  parser.Reset();
  EXPECT_FALSE(parser.started());
  const std::string bytes = "OPTIONS * HTTP/1.1\r\nHost: g\r\n\r\n";
  ASSERT_EQ(parser.Parse(bytes), ParseState::kComplete);
  EXPECT_FALSE(parser.error());
  parser.Reset();
  const std::string next = "GET /x?y HTTP/1.1\r\n\r\n";
  ASSERT_EQ(parser.Parse(next), ParseState::kComplete);
  EXPECT_EQ(parser.head().fields.size(), 0u);
  EXPECT_FALSE(parser.head().fields.Has(FieldId::kHost));
  EXPECT_EQ(parser.head().query, "y");
}

TEST(RequestHead, NoiseIsRefusedAtItsFirstByte) {
  EXPECT_EQ(Parsed("\x16", ParseState::kError).error().status, 400);  // a TLS handshake
}

// ---- Limits: exactly the limit is accepted, one byte more is not, byte by byte as in one piece.

struct LimitCase {
  std::string name;
  HeadLimits limits;
  std::string fits;
  std::string too_long;
  int status;
};

void PrintTo(const LimitCase& each, std::ostream* out) { *out << each.name; }

class HeadLimitsTest : public testing::TestWithParam<LimitCase> {};

int StatusOf(const HeadLimits& limits, const std::string& bytes, bool byte_by_byte) {
  RequestHeadParser parser(limits);
  for (size_t size = byte_by_byte ? 1 : bytes.size(); size <= bytes.size(); ++size) {
    switch (parser.Parse(std::string_view(bytes).substr(0, size))) {
      case ParseState::kNeedMore:
        break;
      case ParseState::kError:
        return parser.error().status;
      case ParseState::kComplete:
        return size == bytes.size() ? 0 : -1;
    }
  }
  return -2;
}

TEST_P(HeadLimitsTest, TheLimitItselfFits) {
  for (const bool byte_by_byte : {false, true}) {
    EXPECT_EQ(StatusOf(GetParam().limits, GetParam().fits, byte_by_byte), 0);
    EXPECT_EQ(StatusOf(GetParam().limits, GetParam().too_long, byte_by_byte), GetParam().status);
  }
}

std::vector<LimitCase> LimitCases() {
  const auto line = [](size_t bytes) { return "X: " + std::string(bytes - 3, 'a') + "\r\n"; };
  const auto start = [](size_t bytes) {
    return "GET /" + std::string(bytes - 14, 'a') + " HTTP/1.1\r\n";
  };
  const auto times = [](int n, const std::string& text) {
    std::string all;
    for (int i = 0; i < n; ++i) all += text;
    return all;
  };
  const HeadLimits defaults,
      small{.start_line_bytes = 40, .field_line_bytes = 20, .section_bytes = 50, .fields = 3};
  const size_t kib = 1024;
  return {
      {"StartLine", defaults, start(16 * kib) + "\r\n", start(16 * kib + 1) + "\r\n", 414},
      {"SmallStartLine", small, start(40) + "\r\n", start(41) + "\r\n", 414},
      {"FieldLine", defaults, kStart + line(32 * kib) + "\r\n",
       kStart + line(32 * kib + 1) + "\r\n", 431},
      {"SmallFieldLine", small, kStart + line(20) + "\r\n", kStart + line(21) + "\r\n", 431},
      {"Section", defaults, kStart + times(64, line(kib - 2)) + "\r\n",
       kStart + times(63, line(kib - 2)) + line(kib - 1) + "\r\n", 431},
      {"SmallSection", small, kStart + times(2, line(20)) + line(4) + "\r\n",
       kStart + times(2, line(20)) + line(5) + "\r\n", 431},
      {"SectionWithoutRoomForALine", small, kStart + times(2, line(20)) + line(3) + "\r\n",
       kStart + times(2, line(20)) + line(3) + "X\r\n\r\n", 431},
      {"Fields", defaults, kStart + times(128, line(10)) + "\r\n",
       kStart + times(129, line(10)) + "\r\n", 431},
      {"SmallFields", small, kStart + times(3, line(5)) + "\r\n",
       kStart + times(4, line(5)) + "\r\n", 431},
      {"MoreFieldsThanThereIsRoomFor", HeadLimits{.fields = 1000},
       kStart + times(128, line(10)) + "\r\n", kStart + times(129, line(10)) + "\r\n", 431},
  };
}

INSTANTIATE_TEST_SUITE_P(Limits, HeadLimitsTest, testing::ValuesIn(LimitCases()),
                         [](const auto& each) { return each.param.name; });

TEST(HeadLimitsTest, AnEndlessLineIsRefusedWithoutItsEnd) {
  EXPECT_EQ(Parsed("GET /" + std::string(20000, 'a'), ParseState::kError).error().status, 414);
  EXPECT_EQ(Parsed(kStart + std::string(40000, 'a'), ParseState::kError).error().status, 431);
}

// ---- Responses.

struct ResponseCase {
  std::string name;
  std::string bytes;
  int want;  // the status that was read, or 0 for an error
};

TEST(ResponseHead, ReadsOrRefuses) {
  using namespace std::string_literals;
  const std::string rest = "\r\nContent-Length: 0\r\n\r\n";
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::vector<ResponseCase> cases = {
      {"plain", ok + "Content-Length: 0\r\n\r\n", 200},
      {"empty reason", "HTTP/1.1 404 " + rest, 404},
      {"obs-text in the reason", "HTTP/1.1 404 \xe9t\xe9" + rest, 404},
      {"HTTP/1.0", "HTTP/1.0 200 OK" + rest, 200},
      {"interim", "HTTP/1.1 100 Continue\r\n\r\n", 100},
      {"U02 space before the colon", ok + "Content-Type \t: x\r\n\r\n", 200},
      {"U01 two digits", "HTTP/1.1 99 X" + rest, 0},
      {"four digits", "HTTP/1.1 2000 X" + rest, 0},
      {"zero", "HTTP/1.1 000 X" + rest, 0},
      {"099", "HTTP/1.1 099 X" + rest, 0},
      {"600", "HTTP/1.1 600 X" + rest, 0},
      {"no reason and no space", "HTTP/1.1 200" + rest, 0},
      {"no status", "HTTP/1.1 " + rest, 0},
      {"only a version", "HTTP/1.1" + rest, 0},
      {"U01 garbage", "garbage\r\n\r\n", 0},
      {"garbage that begins alike", "Hello\r\n\r\n", 0},
      {"nothing but a line end", "\r\nHTTP/1.1 200 OK" + rest, 0},
      {"U01 HTTP/2", "HTTP/2.0 200 OK" + rest, 0},
      {"lower case", "http/1.1 200 OK" + rest, 0},
      {"two spaces", "HTTP/1.1  200 OK" + rest, 0},
      {"control in the reason", "HTTP/1.1 200 O\x01K" + rest, 0},
      {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 0},
      {"bare CR", "HTTP/1.1 200 OK\rX\r\nContent-Length: 0\r\n\r\n", 0},
      {"U01 obs-fold", ok + "X: a\r\n b\r\n\r\n", 0},
      {"space before the first field", ok + " X: a\r\n\r\n", 0},
      {"U01 NUL", ok + "X: a\0b\r\n\r\n"s, 0},
      {"NUL in a name", ok + "X\0: a\r\n\r\n"s, 0},
      {"space in a name", ok + "X Y: a\r\n\r\n", 0},
      {"only a colon", ok + " : a\r\n\r\n", 0},
      {"no colon", ok + "X\r\n\r\n", 0},
      {"U01 too long", ok + "X: " + std::string(70000, 'a') + "\r\n\r\n", 0},
      {"endless status line", "HTTP/1.1 200 " + std::string(17000, 'a'), 0},
  };
  for (const ResponseCase& each : cases) {
    SCOPED_TRACE(each.name);
    ResponseHeadParser whole, bytewise;
    const ParseState state = whole.Parse(each.bytes);
    EXPECT_EQ(state, each.want == 0 ? ParseState::kError : ParseState::kComplete);
    EXPECT_EQ(state == ParseState::kComplete ? whole.head().status : 0, each.want);
    EXPECT_EQ(whole.error().status, each.want == 0 ? 502 : 0);

    ParseState last = ParseState::kNeedMore;
    std::string received;
    for (const char c : each.bytes) {
      if (last != ParseState::kNeedMore) break;
      last = bytewise.Parse(received += c);
    }
    EXPECT_EQ(last, state);
    EXPECT_EQ(bytewise.error().reason, whole.error().reason);
  }
}

TEST(ResponseHead, TheSpaceBeforeAColonIsRemoved) {
  ResponseHeadParser parser;
  const std::string bytes = "HTTP/1.1 200 Fine\r\nContent-Type : x\r\n\r\n";
  ASSERT_EQ(parser.Parse(bytes), ParseState::kComplete);
  EXPECT_EQ(parser.head().reason, "Fine");
  ASSERT_EQ(parser.head().fields.size(), 1u);
  EXPECT_EQ(parser.head().fields[0].name, "Content-Type");
  EXPECT_EQ(parser.head().fields[0].id, FieldId::kContentType);
}

TEST(ResponseHead, AnInterimHeadIsFollowedByTheNext) {
  const std::string bytes =
      "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody";
  ResponseHeadParser parser;
  ASSERT_EQ(parser.Parse(bytes), ParseState::kComplete);
  EXPECT_EQ(parser.head().status, 103);
  const std::string_view next = std::string_view(bytes).substr(parser.head_bytes());
  parser.Reset();
  ASSERT_EQ(parser.Parse(next), ParseState::kComplete);
  EXPECT_EQ(parser.head().status, 200);
  EXPECT_EQ(parser.head().fields.size(), 0u);
  EXPECT_EQ(next.substr(parser.head_bytes()), "body");
}

}  // namespace
}  // namespace tao::http
