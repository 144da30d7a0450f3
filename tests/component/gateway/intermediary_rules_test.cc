// The rules for an intermediary (P1 to P53) that ask for a request of their own: what is sent on,
// and what the gateway answers itself. Those for answers are in upstream_corpus_test.cc;
// docs/gateway.md says where the others are.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

struct RuleCase {
  std::string name;
  std::string line;    // the request's
  std::string fields;  // beside Host, Content-Type and Content-Length
  int status = 200;    // what the client gets; 200: the request reached the backend
  // In what the backend got, and not in it.
  std::vector<std::string> has = {};
  std::vector<std::string> lacks = {};
  std::vector<std::string> answer_has = {};  // in the head that the client got
};
void PrintTo(const RuleCase& row, std::ostream* out) { *out << row.name; }

const std::string kChat = "POST /v1/chat/completions HTTP/1.1";
const std::string kOptions = "OPTIONS /v1/chat/completions HTTP/1.1";
const std::string kClosed = "\r\nConnection: close\r\n";

class IntermediaryRulesTest : public testing::TestWithParam<RuleCase> {};

TEST_P(IntermediaryRulesTest, Holds) {
  const RuleCase& row = GetParam();
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const std::string body = Body(kArch);
  const RawMessage answer =
      harness.Ask(row.line + "\r\nHost: g\r\nContent-Type: application/json\r\n" + row.fields +
                  "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(answer.status(), row.status) << answer.head << answer.body;
  for (const std::string& text : row.answer_has) {
    EXPECT_NE(answer.head.find(text), std::string::npos) << text << "\nin\n" << answer.head;
  }
  if (row.status >= 400) {  // P52
    EXPECT_EQ(answer.Field("Content-Type"), "application/json");
    EXPECT_EQ(answer.Field("Content-Length"), std::to_string(answer.body.size()));
    EXPECT_TRUE(answer.Field("Date").has_value());
    EXPECT_TRUE(answer.Field("X-Request-Id").has_value());
    EXPECT_EQ(answer.Field("Proxy-Status").value_or("").substr(0, 21), "tao-inference; error=");
    const nlohmann::json error = nlohmann::json::parse(answer.body)["error"];
    for (const char* member : {"message", "type", "param", "code"}) {
      EXPECT_TRUE(error.contains(member)) << answer.body;
    }
  }
  EXPECT_EQ(upstream.connections(), row.status == 200 ? 1 : 0);
  const std::string got = upstream.received();
  for (const std::string& text : row.has) {
    EXPECT_NE(got.find(text), std::string::npos) << text << "\nin\n" << got;
  }
  for (const std::string& text : row.lacks) {
    EXPECT_EQ(got.find(text), std::string::npos) << text << "\nin\n" << got;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Requests, IntermediaryRulesTest,
    testing::ValuesIn<RuleCase>({
        {"P2_ListedFieldsEndHere",
         kChat,
         "Connection: close, x-foo\r\nX-Foo: 1\r\nX-Bar: 2\r\n",
         200,
         {"\r\nX-Bar: 2\r\n"},
         {"X-Foo", "Connection"},
         {kClosed}},
        {"P3_FieldsOfTheHopEndHere",
         kChat,
         "Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers\r\nTrailer: X\r\n"
         "Upgrade: h2c\r\nProxy-Authorization: Basic eA==\r\nHTTP2-Settings: AAMA\r\n",
         200,
         {},
         {"Keep-Alive", "Proxy-", "TE:", "Trailer", "Upgrade", "HTTP2", "Transfer-Encoding"}},
        {"P4_HostListed", kChat, "Connection: Host\r\n", 400, {}, {}, {kClosed}},
        {"P4_LengthListed", kChat, "Connection: Content-Length\r\n", 400, {}, {}, {kClosed}},
        {"P4_AuthorizationListed", kChat, "Connection: Authorization\r\n", 400, {}, {}, {kClosed}},
        {"P4_RoutingFieldListed", kChat, "Connection: x-tao-job-id\r\n", 400, {}, {}, {kClosed}},
        {"P7_ViaIsAppended",
         kChat,
         "Via: 1.0 a, 1.1 b\r\n",
         200,
         {"\r\nVia: 1.0 a, 1.1 b\r\nVia: 1.1 tao-inference\r\n"}},
        {"P8_Loop",
         kChat,
         "Via: 1.1 a, 1.1 tao-inference\r\n",
         508,
         {},
         {},
         {"\r\nProxy-Status: tao-inference; error=proxy_loop_detected\r\n",
          "\r\nX-Should-Retry: false\r\n"}},
        {"P8_LoopInAnotherCase", kChat, "Via: 1.1 Tao-Inference (x)\r\nVia: 1.1 b\r\n", 508},
        {"P8_NameInAComment", kChat, "Via: 1.1 a (1.1, 1.1 tao-inference)\r\n", 200},
        {"P9_MaxForwards0",
         kOptions,
         "Max-Forwards: 0\r\n",
         204,
         {},
         {},
         {"\r\nAllow: POST, OPTIONS\r\n"}},
        {"P9_TraceIsNotEchoed",
         "TRACE /v1/chat/completions HTTP/1.1",
         "Max-Forwards: 0\r\nAuthorization: Bearer a\r\nCookie: b\r\n",
         405,
         {},
         {},
         {"\r\nAllow: POST, OPTIONS\r\n"}},
        {"P10_OptionsAreAnsweredHere", kOptions, "Max-Forwards: 5\r\n", 204},
        {"P11_OptionsAsterisk",
         "OPTIONS * HTTP/1.1",
         "",
         204,
         {},
         {},
         {"\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"}},
        {"P12_QueryUnchanged",
         "POST /v1/chat/completions?a=%2F%2e+;&&b==%7e HTTP/1.1",
         "",
         200,
         {"POST /v1/chat/completions?a=%2F%2e+;&&b==%7e HTTP/1.1\r\n"}},
        {"P12_EscapesOfThePathUnchanged",
         "POST /v1/ch%61t/completions? HTTP/1.1",
         "",
         200,
         {"POST /v1/ch%61t/completions? HTTP/1.1\r\n"}},
        {"P14_AbsoluteForm",
         "POST http://elsewhere:1/v1/chat/completions HTTP/1.1",
         "",
         200,
         {"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:"},
         {"elsewhere", "Host: g"}},
        {"P40_ExpectIsNotSentOn", kChat, "Expect: 100-Continue\r\n", 200, {}, {"Expect"}},
        {"P42_OtherExpectation", kChat, "Expect: 200-ok\r\n", 417, {}, {}, {kClosed}},
        {"P43_UpgradeIgnored",
         kChat,
         "Connection: Upgrade\r\nUpgrade: websocket, TLS/1.2\r\nSec-WebSocket-Version: 13\r\n",
         200,
         {},
         {"Upgrade:", "Connection"},
         {"HTTP/1.1 200 OK\r\n"}},
        {"P44_Put",
         "PUT /v1/chat/completions HTTP/1.1",
         "",
         405,
         {},
         {},
         {"\r\nAllow: POST, OPTIONS\r\n"}},
        {"P44_UnknownMethod",
         "POSTX /v1/chat/completions HTTP/1.1",
         "",
         501,
         {},
         {},
         {kClosed, "\r\nX-Should-Retry: false\r\n"}},
        {"P46_Authorization",
         kChat,
         "Authorization: Bearer a  b, c\r\n",
         200,
         {"\r\nAuthorization: Bearer a  b, c\r\n"}},
        {"P49_EndToEndFields",
         kChat,
         "If-None-Match: \"x\"\r\nPrefer: respond-async\r\n"
         "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
         "tracestate: a=b\r\nx-stainless-lang: python\r\nAccept-Encoding: gzip, deflate\r\n",
         200,
         {"\r\nIf-None-Match: \"x\"\r\nPrefer: respond-async\r\ntraceparent: "
          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\n"
          "x-stainless-lang: python\r\nAccept-Encoding: gzip, deflate\r\n"}},
    }),
    [](const auto& row) { return row.param.name; });

// P30, C38: a body that ends too early is never passed on as a whole one, kept or on its way.
TEST(IntermediaryRules, P30_AnIncompleteBodyNeverBecomesWhole) {
  std::atomic<int> whole = 0;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    if (peer.ReadRequest().whole) ++whole;
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  const std::string head =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n" +
      HeaderFor(kJob);
  const std::string large(200 * 1024, ' ');
  const std::string rows[] = {
      head + "Content-Length: 100\r\n\r\n{}",
      head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
      head + "Content-Length: 1000000\r\n\r\n{}" + large,
      head + "Transfer-Encoding: chunked\r\n\r\n32002\r\n{}" + large + "\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n32002\r\n{}" + large + "\r\n0\r\n",
  };
  for (const std::string& bytes : rows) {
    RawSocket client = harness.Connect();
    client.Write(bytes);
    client.ShutdownWrite();
    const RawMessage answer = client.ReadMessage();
    EXPECT_TRUE(answer.head.empty() || answer.status() == 400) << answer.head;
    EXPECT_TRUE(client.WaitForEnd());
  }
  while (harness.gateway->InFlight(kJob) > 0) std::this_thread::yield();
  EXPECT_EQ(whole, 0);
}

// P34: an HTTP/1.0 client gets no interim answer, no chunks, and the end of the connection.
TEST(IntermediaryRules, P34_Http10Client) {
  FakeUpstream upstream(Answers(
      "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
      "Transfer-Encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"));
  GatewayHarness harness({ServiceAt(upstream.port())});
  std::string request = Post(Body(kArch), "Expect: 100-continue\r\nConnection: keep-alive\r\n");
  request.replace(request.find("HTTP/1.1"), 8, "HTTP/1.0");
  const RawMessage answer = harness.Ask(request);
  EXPECT_EQ(answer.status(), 200) << answer.head;
  EXPECT_EQ(answer.Field("Connection"), "close");
  EXPECT_EQ(answer.Field("Transfer-Encoding"), std::nullopt);
  EXPECT_TRUE(answer.by_close);
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(answer.body, "data: [DONE]\n\n");
}

// P41: nobody who did not ask is sent a 100, whatever the backend says; undici would break.
TEST(IntermediaryRules, P41_NoInterimAnswerUnasked) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    peer.Write("HTTP/1.1 100 Continue\r\n\r\n");
    peer.ReadBytes(Body(kArch).size());
    peer.Write("HTTP/1.1 102 Processing\r\n\r\n" + FlaskAnswer("{}"));
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch), "Connection: close\r\n"));
  const std::string all = client.ReadToEnd();
  EXPECT_EQ(all.rfind("HTTP/1.1 200 OK\r\n", 0), 0U) << all;
  EXPECT_EQ(all.find("HTTP/1.1", 1), std::string::npos) << all;
}

// P50: the same bytes are decided in the same way on every worker and every time.
TEST(IntermediaryRules, P50_TheSameDecisionForTheSameBytes) {
  FakeUpstream one(Answers(FlaskAnswer("\"one\"")));
  FakeUpstream two(Answers(FlaskAnswer("\"two\"")));
  GatewayHarness harness({ServiceAt(one.port()), ServiceAt(two.port(), kOtherJob, "predict")});
  const std::string request =
      Post(Body("predict"), HeaderFor(kOtherJob), "/v1/chat/completions?network_arch=predict");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(harness.Ask(request).body, "\"two\"");
  const std::string conflicting = Post(Body("predict"), HeaderFor(kJob));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(harness.Ask(conflicting).Field("X-TAO-Error"), "selector_conflict");
  }
}

// C76: a client that sends a byte now and then does not hold its place for ever.
TEST(IntermediaryRules, C76_ADrippingBodyIs408) {
  GatewayConfig config = GatewayHarness::Config();
  config.body_timeout = absl::Milliseconds(200);
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  RawSocket client = harness.Connect();
  client.Write(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"
      "Content-Length: 100000\r\n\r\n");
  const absl::Time limit = absl::Now() + kTestLimit;
  while (client.IsSilent(20) && absl::Now() < limit) client.Write(" ");  // 50 bytes a second
  const RawMessage answer = client.ReadMessage();
  EXPECT_EQ(answer.status(), 408) << answer.head;
  EXPECT_EQ(answer.Field("Connection"), "close");
  EXPECT_EQ(upstream.connections(), 0);
}

// SSE 16: who does not read ends its exchange, and delays nobody else.
TEST(IntermediaryRules, Sse16_AClientThatDoesNotReadIsGivenUp) {
  Event cancelled;
  std::atomic<int> requests = 0;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    if (++requests > 1) return static_cast<void>(peer.Write(FlaskAnswer("\"other\"")));
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    const std::string event = "data: " + std::string(64 * 1024, 'x') + "\n\n";
    while (peer.Write(event)) continue;
    cancelled.Set();
  });
  GatewayConfig config = GatewayHarness::Config();
  config.workers = 1;
  config.write_timeout = absl::Milliseconds(300);
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  RawSocket slow = harness.Connect();
  slow.Write(Post(Body(kArch, R"(,"stream":true)")));
  slow.ReadThrough("data: ");
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).body, "\"other\"");
  EXPECT_TRUE(cancelled.Wait());
}

}  // namespace
}  // namespace tao::gateway
