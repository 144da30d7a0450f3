// What a backend may answer, right and wrong, and what the client sees of it (U01 to U12 of the
// corpus, and the rules for answers among P1 to P53): one table. Each answer is sent in one write
// and byte by byte; after each a second request shows whether the connection was used again, and
// that nothing of the first answer got into the second.

#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

using namespace std::string_literals;  // NULs in the middle of a literal count

enum class Then { kStays, kCloses, kResets };
enum class Reuse { kNo, kYes };

struct UpstreamCase {
  std::string name;
  std::string answer;  // the backend's bytes
  Then then = Then::kStays;
  // What the client sees: a status, and whether its answer is whole. 200 and not whole: the answer
  // may also be a 502, where the fault showed before its head was sent on.
  int status = 200;
  bool whole = true;
  std::string body;   // of a whole answer below 500
  std::string error;  // the word in Proxy-Status; empty: not the gateway's answer
  Reuse reuse = Reuse::kNo;
  std::vector<std::string> has = {};    // in the head that the client gets
  std::vector<std::string> lacks = {};  // not in it
  std::string more = {};                // members of the request's body
};

void PrintTo(const UpstreamCase& row, std::ostream* out) { *out << row.name; }

const std::string kOk = "HTTP/1.1 200 OK\r\n";
const std::string kJson = kOk + "Content-Type: application/json\r\n";
const std::string kTwo = "Content-Length: 2\r\n\r\n{}";
const std::string kProtocol = "http_protocol_error";
const std::string kStream = R"(,"stream":true)";
const std::string kGzip = "\x1f\x8b\x08\x00\n\n"s;

std::vector<UpstreamCase> Cases() {
  std::vector<UpstreamCase> rows;
  const auto broken = [&rows](const std::string& name, const std::string& answer) {
    rows.push_back({"U01_" + name, answer, Then::kStays, 502, true, "", kProtocol});
  };
  broken("LengthAndChunked",
         kOk + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  broken("TwoLengths", kOk + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!");
  broken("ListOfLengths", kOk + "Content-Length: 5, 6\r\n\r\nhello!");
  broken("LengthIsNoNumber", kOk + "Content-Length: x\r\n\r\nhello");
  broken("LengthWithASign", kOk + "Content-Length: +5\r\n\r\nhello");
  broken("LengthTooLarge", kOk + "Content-Length: 18446744073709551621\r\n\r\nhello");
  broken("UnknownCoding", kOk + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
  broken("ChunkedTwice", kOk + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n");
  broken("Fold", kOk + "X: a\r\n b\r\n" + kTwo);
  broken("NulInAValue", kOk + "X: a\0b\r\n"s + kTwo);
  broken("BareCrInAValue", kOk + "X: a\rb\r\n" + kTwo);
  broken("BareLf", "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}");
  broken("NameOfNoToken", kOk + "X Y: 1\r\n" + kTwo);
  broken("NoColon", kOk + "X\r\n" + kTwo);
  broken("LongField", kOk + "X: " + std::string(100 * 1024, 'a') + "\r\n" + kTwo);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "X: 1\r\n";
  broken("ManyFields", kOk + many + kTwo);
  broken("StatusOfTwoDigits", "HTTP/1.1 99\r\n" + kTwo);
  broken("StatusBeyond599", "HTTP/1.1 600 X\r\n" + kTwo);
  broken("Garbage", "!!!!\r\n\r\n");
  broken("Http09", "{\"choices\":[]}");
  broken("Http2", "HTTP/2.0 200 OK\r\n" + kTwo);
  broken("ProtectedFieldListed", kOk + "Connection: Content-Length\r\n" + kTwo);
  rows.push_back({"U01_BadChunkSize",
                  kJson + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
                  Then::kStays, 200, false, "", kProtocol});
  rows.push_back({"U01_BadChunkEnd",
                  kJson + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", Then::kStays,
                  200, false, "", kProtocol});

  rows.push_back({"U02_SpaceBeforeTheColon",
                  kOk + "Content-Type : application/json\r\nX\t: 1\r\n" + kTwo,
                  Then::kStays,
                  200,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {"\r\nContent-Type: application/json\r\n", "\r\nX: 1\r\n"}});

  rows.push_back({"U03_Nothing", "", Then::kCloses, 502, true, "", "connection_terminated"});
  rows.push_back({"U03_HalfAHead", "HTTP/1.1 200 OK\r\nContent-", Then::kCloses, 502, true, "",
                  "http_response_incomplete"});
  rows.push_back({"U03_HalfAHeadReset", "HTTP/1.1 200 OK\r\nContent-", Then::kResets, 502, true, "",
                  "http_response_incomplete"});
  rows.push_back({"U03_ShortOfItsLength",
                  kJson + "Content-Length: 100\r\n\r\n" + std::string(40, ' '), Then::kCloses, 200,
                  false, "", "http_response_incomplete"});
  rows.push_back({"U03_WithoutItsLastChunk",
                  kJson + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Then::kCloses, 200,
                  false, "", "http_response_incomplete"});

  for (const std::string& status : {"204 No Content"s, "304 Not Modified"s}) {
    const int code = std::stoi(status);
    rows.push_back({"U04_BodyBehind" + status.substr(0, 3),
                    "HTTP/1.1 " + status + "\r\nContent-Type: application/json\r\n\r\n{}",
                    Then::kStays,
                    code,
                    true,
                    "",
                    "",
                    Reuse::kNo,
                    {},
                    {"Content-Length", "Transfer-Encoding"}});
    rows.push_back({"P33_LengthOf" + status.substr(0, 3),
                    "HTTP/1.1 " + status + "\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n",
                    Then::kStays,
                    code,
                    true,
                    "",
                    "",
                    Reuse::kYes,
                    {"\r\nETag: \"x\"\r\n"},
                    {"Content-Length", "Transfer-Encoding"}});
  }

  rows.push_back({"U05_AnotherAnswerBehind", kJson + kTwo + kOk + "Content-Length: 4\r\n\r\nevil",
                  Then::kStays, 200, true, "{}"});
  rows.push_back({"U05_ABodyTooLong", kJson + kTwo + "x", Then::kStays, 200, true, "{}"});
  rows.push_back(
      {"U05_BehindTheLastChunk",
       kJson + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
       Then::kStays, 200, true, "{}"});

  const std::string early_hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
  rows.push_back(
      {"U06_InterimOnes",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + early_hints + kJson + kTwo,
       Then::kStays,
       200,
       true,
       "{}",
       "",
       Reuse::kYes,
       {},
       {"Link"}});
  rows.push_back({"U06_SwitchingProtocols",
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
                  Then::kStays, 502, true, "", kProtocol});
  std::string endless;
  for (int i = 0; i < 100; ++i) endless += early_hints;
  rows.push_back({"U06_NothingButInterimOnes", endless, Then::kStays, 502, true, "", kProtocol});

  const std::string old = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\nhello";
  rows.push_back({"U07_UntilClose",
                  old,
                  Then::kCloses,
                  200,
                  true,
                  "hello",
                  "",
                  Reuse::kNo,
                  {"HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked"}});
  rows.push_back(
      {"U07_UntilReset", old, Then::kResets, 200, false, "", "http_response_incomplete"});
  rows.push_back(
      {"U07_Http10KeepAlive",
       "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\n" + kTwo,
       Then::kStays,
       200,
       true,
       "{}",
       "",
       Reuse::kNo,
       {},
       {"Connection"}});
  rows.push_back({"U07_ChunkedHttp10",
                  "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Then::kStays,
                  502, true, "", kProtocol});

  rows.push_back({"U10_FieldsOfTheHop",
                  kJson +
                      "Connection: X-A\r\nX-A: 1\r\nX-B: 2\r\nKeep-Alive: timeout=5\r\nTrailer: "
                      "X-T\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nProxy-Connection: "
                      "close\r\n" +
                      kTwo,
                  Then::kStays,
                  200,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {"\r\nX-B: 2\r\n"},
                  {"X-A", "Connection", "Keep-Alive", "Trailer", "Upgrade", "Proxy-Auth"}});
  rows.push_back({"U10_Trailers",
                  kJson +
                      "Transfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n2\r\n{}\r\n0\r\nX-End: "
                      "evil\r\n\r\n",
                  Then::kStays,
                  200,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {},
                  {"X-End"}});

  const std::string location = "Location: http://internal:8000/x\r\n";
  rows.push_back({"U11_Redirect307",
                  "HTTP/1.1 307 X\r\n" + location + kTwo,
                  Then::kStays,
                  307,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {"\r\n" + location}});
  rows.push_back({"U11_Redirect302",
                  "HTTP/1.1 302 Found\r\n" + location + kTwo,
                  Then::kStays,
                  302,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {"\r\n" + location}});

  const std::string encoded = "Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\n" + kGzip;
  rows.push_back({"U12_EncodedStream",
                  kOk + "Content-Type: text/event-stream\r\n" + encoded,
                  Then::kStays,
                  200,
                  true,
                  kGzip,
                  "",
                  Reuse::kYes,
                  {"\r\nContent-Encoding: gzip\r\n"},
                  {},
                  kStream});
  rows.push_back({"U12_EncodedStreamCut",
                  kOk +
                      "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
                      "Content-Length: 9\r\n\r\n" +
                      kGzip,
                  Then::kCloses,
                  200,
                  false,
                  kGzip,
                  "http_response_incomplete",
                  Reuse::kNo,
                  {},
                  {},
                  kStream});
  rows.push_back({"U12_EncodedJsonIsNoStream",
                  kJson + encoded,
                  Then::kStays,
                  200,
                  true,
                  kGzip,
                  "",
                  Reuse::kYes,
                  {"\r\nContent-Type: application/json\r\n"},
                  {},
                  kStream});

  rows.push_back({"P1_OurOwnVersion",
                  "HTTP/1.0 200 Fine\r\n" + kTwo,
                  Then::kStays,
                  200,
                  true,
                  "{}",
                  "",
                  Reuse::kNo,
                  {"HTTP/1.1 200 OK\r\n", "\r\nVia: 1.0 tao-inference\r\n"}});
  rows.push_back({"P2_P36_TheBackendsClose",
                  kJson + "Connection: close, X-Foo\r\nX-Foo: 1\r\n" + kTwo,
                  Then::kStays,
                  200,
                  true,
                  "{}",
                  "",
                  Reuse::kNo,
                  {},
                  {"Connection", "X-Foo"}});
  rows.push_back(
      {"P5_P6_OtherFields",
       kJson + "X-Own: a\xe4z\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVia: 1.1 inner\r\n" + kTwo,
       Then::kStays,
       200,
       true,
       "{}",
       "",
       Reuse::kYes,
       {"\r\nX-Own: a\xe4z\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVia: 1.1 inner\r\n"}});
  rows.push_back({"P45_ItsAllow",
                  "HTTP/1.1 405 X\r\nAllow: PUT,  x\r\n" + kTwo,
                  Then::kStays,
                  405,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {"\r\nAllow: PUT,  x\r\n"}});
  rows.push_back({"P46_ItsChallenge",
                  "HTTP/1.1 401 X\r\nWWW-Authenticate: Bearer realm=\"x\", y\r\n" + kTwo,
                  Then::kStays,
                  401,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {"\r\nWWW-Authenticate: Bearer realm=\"x\", y\r\n"}});
  rows.push_back({"P47_ItsDate",
                  kJson + "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" + kTwo,
                  Then::kStays,
                  200,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {"\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"}});
  rows.push_back({"P48_PartsAndTags",
                  "HTTP/1.1 206 Partial Content\r\nContent-Type: video/mp4\r\nContent-Range: bytes "
                  "0-1/9\r\nETag: W/\"a\"\r\nCache-Control: no-transform\r\n" +
                      kTwo,
                  Then::kStays,
                  206,
                  true,
                  "{}",
                  "",
                  Reuse::kYes,
                  {"\r\nContent-Range: bytes 0-1/9\r\nETag: W/\"a\"\r\nCache-Control: "
                   "no-transform\r\n"}});
  return rows;
}

std::vector<std::string> InOneWrite(const std::string& bytes) { return {bytes}; }
std::vector<std::string> ByteByByte(const std::string& bytes) {
  std::vector<std::string> pieces;
  for (const char c : bytes) pieces.emplace_back(1, c);
  return pieces;
}

class UpstreamCorpusTest : public testing::TestWithParam<UpstreamCase> {
 protected:
  // What the second request gets, on whatever connection.
  static constexpr std::string_view kNext =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n\"next\"";

  void Check(const UpstreamCase& row, const std::vector<std::string>& pieces) {
    Event sent;
    std::atomic<bool> first = true;
    FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
      if (!peer.ReadRequest().whole) return;
      if (first.exchange(false)) {
        for (const std::string& piece : pieces) {
          if (!peer.Write(piece)) break;
        }
        if (row.then == Then::kResets) peer.socket().Reset();
        sent.Set();
        if (row.then != Then::kStays || !peer.ReadRequest().whole) return;
      }
      do {
        peer.Write(kNext);
      } while (peer.ReadRequest().whole);
    });
    GatewayConfig config = GatewayHarness::Config();
    config.workers = 1;  // whose pool is the only one
    GatewayHarness harness({ServiceAt(upstream.port())}, config);

    const RawMessage answer = harness.Ask(Post(Body(kArch, row.more)));
    CheckAnswer(row, answer);
    EXPECT_EQ(harness.failures.job_ids().empty(), row.error.empty()) << "who is told of a failure";
    ASSERT_TRUE(sent.Wait());
    EXPECT_EQ(harness.Ask(Post(Body(kArch))).body, "\"next\"");
    EXPECT_EQ(upstream.connections(), row.reuse == Reuse::kYes ? 1 : 2);
    if (row.reuse == Reuse::kNo) {
      const absl::Time limit = absl::Now() + kTestLimit;
      while (upstream.finished() < 1 && absl::Now() < limit) std::this_thread::yield();
      EXPECT_GE(upstream.finished(), 1) << "the first connection was to be closed";
    }
  }

  static void CheckAnswer(const UpstreamCase& row, const RawMessage& answer) {
    const bool gave_up = row.status >= 500 || (!row.whole && answer.status() == 502);
    if (gave_up) {
      EXPECT_EQ(answer.status(), 502) << answer.head;
      EXPECT_TRUE(answer.whole);
      EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_reset");
      EXPECT_EQ(answer.Field("Proxy-Status"), "tao-inference; error=" + row.error);
      EXPECT_NE(answer.body.find("\"code\":\"upstream_reset\""), std::string::npos) << answer.body;
    } else {
      EXPECT_EQ(answer.status(), row.status) << answer.head << answer.body;
      EXPECT_EQ(answer.whole, row.whole) << answer.body;
      EXPECT_FALSE(answer.by_close) << "an HTTP/1.1 client must see where the answer ends";
      EXPECT_EQ(answer.Field("Proxy-Status"), std::nullopt);
      if (row.whole || !row.body.empty()) {
        EXPECT_EQ(answer.body, row.body);
      }
    }
    EXPECT_EQ(answer.Field("X-TAO-Job-ID"), kJob);
    EXPECT_TRUE(answer.Field("X-Request-Id").has_value());
    EXPECT_TRUE(answer.Field("Date").has_value());
    for (const std::string& text : row.has) {
      EXPECT_NE(answer.head.find(text), std::string::npos) << text << "\nin\n" << answer.head;
    }
    for (const std::string& text : row.lacks) {
      EXPECT_EQ(answer.head.find(text), std::string::npos) << text << "\nin\n" << answer.head;
    }
  }
};

TEST_P(UpstreamCorpusTest, InOneWrite) { Check(GetParam(), InOneWrite(GetParam().answer)); }

TEST_P(UpstreamCorpusTest, ByteByByte) {
  if (GetParam().answer.size() > 8192) return;  // longer ones only repeat what short ones show
  Check(GetParam(), ByteByByte(GetParam().answer));
}

INSTANTIATE_TEST_SUITE_P(Answers, UpstreamCorpusTest, testing::ValuesIn(Cases()),
                         [](const auto& row) { return row.param.name; });

// U08: the answer that came before the request was whole is the client's, however the backend ends.
TEST(UpstreamCorpus, U08_AnswerBeforeTheRequestWasSent) {
  for (const Then then : {Then::kStays, Then::kCloses, Then::kResets}) {
    SCOPED_TRACE(static_cast<int>(then));
    Event got_answer;
    FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
      peer.ReadHead();
      peer.Write(FlaskAnswer("\"too large\"", "413 TOO LARGE"));
      if (then == Then::kCloses) return;
      if (then == Then::kResets) return peer.socket().Reset();
      EXPECT_TRUE(got_answer.Wait());
    });
    GatewayHarness harness({ServiceAt(upstream.port())});
    RawSocket client = harness.Connect();
    const std::string rest(4 << 20, ' ');
    client.Write(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: "
        "application/json\r\nContent-Length: 100000000\r\n" +
        HeaderFor(kJob) + "\r\n" + rest);
    const RawMessage answer = client.ReadMessage();
    got_answer.Set();
    EXPECT_EQ(answer.status(), 413) << answer.head << answer.body;
    EXPECT_EQ(answer.body, "\"too large\"");
    EXPECT_EQ(answer.Field("Connection"), "close");
  }
}

// U09: the backend closes the idle connection at the very moment at which a request is written to
// it. The request may have been executed: it is not sent again, and the client is free to.
TEST(UpstreamCorpus, U09_ClosesAsTheRequestIsWritten) {
  std::atomic<int> executed = 0;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    if (!peer.ReadRequest().whole) return;
    ++executed;
    peer.Write(kJson + kTwo);
    if (peer.ReadRequest().whole) ++executed;
  });
  GatewayConfig config = GatewayHarness::Config();
  config.workers = 1;
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.status(), 502);
  EXPECT_EQ(answer.Field("Proxy-Status"), "tao-inference; error=connection_terminated");
  EXPECT_EQ(answer.Field("x-should-retry"), std::nullopt);
  EXPECT_EQ(executed, 2);
}

}  // namespace
}  // namespace tao::gateway
