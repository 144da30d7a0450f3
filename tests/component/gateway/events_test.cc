// Streams of events: relayed at once, made from JSON, ended and cut as OpenAI's clients need it;
// and the advice on errors that keeps these clients from doing harm.

#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

const std::string kStream = R"(,"stream":true)";
const std::string kSseHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    "Transfer-Encoding: chunked\r\n\r\n";

std::string Chunk(const std::string& data) {
  char size[32];
  std::snprintf(size, sizeof(size), "%zx\r\n", data.size());
  return size + data + "\r\n";
}

// All `content` strings of the events of a stream, joined.
std::string Content(const std::string& stream) {
  std::string content;
  const std::string name = R"("content":")";
  for (size_t at = stream.find(name); at != std::string::npos; at = stream.find(name, at)) {
    at += name.size();
    content += stream.substr(at, stream.find('"', at) - at);
  }
  return content;
}

TEST(JsonToSse, ClientThatAskedForAStreamGetsOne) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const RawMessage answer = harness.Ask(Post(Body(kArch, kStream)));
  EXPECT_EQ(answer.Field("Content-Type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(answer.Field("Transfer-Encoding"), "chunked");
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(Content(answer.body), "hello");
  EXPECT_EQ(answer.body.substr(answer.body.size() - 14), "data: [DONE]\n\n");

  const RawMessage plain = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(plain.Field("Content-Type"), "application/json");
  EXPECT_EQ(plain.body, kCompletion);
}

// The first words are there before the last are made: nothing is collected.
TEST(JsonToSse, IsIncremental) {
  Event got_first;
  const size_t middle = kCompletion.find("hello") + 2;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    const std::string answer = FlaskAnswer(kCompletion);
    const size_t cut = answer.size() - kCompletion.size() + middle;
    peer.Write(answer.substr(0, cut));
    EXPECT_TRUE(got_first.Wait());
    peer.Write(answer.substr(cut));
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch, kStream)));
  EXPECT_NE(client.ReadThrough(R"("role":"assistant")").find("data: "), std::string::npos);
  got_first.Set();
  EXPECT_NE(client.ReadThrough("data: [DONE]\n\n\r\n0\r\n\r\n").find("finish_reason"),
            std::string::npos);
}

TEST(JsonToSse, AnswerThatBreaksOffEndsInAnErrorEventAndNoCleanEnd) {
  FakeUpstream upstream(
      Answers("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n" +
              kCompletion.substr(0, kCompletion.find("llo"))));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const RawMessage answer = harness.Ask(Post(Body(kArch, kStream)));
  EXPECT_EQ(answer.status(), 200);
  EXPECT_FALSE(answer.whole);
  EXPECT_NE(answer.body.find("\"code\":\"upstream_reset\""), std::string::npos) << answer.body;
  EXPECT_EQ(answer.body.find("[DONE]"), std::string::npos);
}

TEST(Sse, EachEventIsRelayedAtOnce) {
  Event got_first;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write(kSseHead + Chunk("data: {\"a\":1}\n\n"));
    EXPECT_TRUE(got_first.Wait());
    peer.Write(Chunk("data: {\"a\":2}\n\n") + Chunk("data: [DONE]\n\n") + "0\r\n\r\n");
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch, kStream)));
  const std::string head = client.ReadThrough("\r\n\r\n");
  EXPECT_NE(head.find("X-Accel-Buffering: no\r\n"), std::string::npos);
  EXPECT_EQ(client.ReadThrough("\n\n\r\n"), "f\r\ndata: {\"a\":1}\n\n\r\n");
  got_first.Set();
  client.ReadThrough("data: [DONE]\n\n\r\n0\r\n\r\n");
}

// Clients leave at [DONE]: the end of the body comes with it, though the backend's came later or
// never.
TEST(Sse, DoneAndTheLastChunkComeTogether) {
  Event got_done;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    for (int i = 0; i < 2; ++i) {
      peer.ReadRequest();
      peer.Write(kSseHead + Chunk("data: [DONE]\n\n"));
      EXPECT_TRUE(got_done.Wait());
      peer.Write("0\r\n\r\n");
    }
  });
  GatewayConfig config = GatewayHarness::Config();
  config.workers = 1;
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  const RawMessage answer = harness.Ask(Post(Body(kArch, kStream)));
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(answer.body, "data: [DONE]\n\n");
  got_done.Set();
}

// Facts 5.12: an error event between two events, and no clean end in any case.
TEST(Sse, DeathOfTheBackendIsToldBetweenEvents) {
  const std::string event = "data: {\"a\":1}\n\n";
  const struct {
    std::string sent;
    bool told;
  } rows[] = {{Chunk(event), true}, {Chunk(event + "data: {\"a\""), false}, {"", true}};
  for (const auto& row : rows) {
    FakeUpstream upstream(Answers(kSseHead + row.sent));
    GatewayHarness harness({ServiceAt(upstream.port())});
    const RawMessage answer = harness.Ask(Post(Body(kArch, kStream)));
    EXPECT_EQ(answer.status(), 200);
    EXPECT_FALSE(answer.whole);
    EXPECT_EQ(answer.body.find("upstream_reset") != std::string::npos, row.told) << answer.body;
    EXPECT_EQ(answer.body.find("[DONE]"), std::string::npos);
  }
}

// U12: nothing is put into a stream that is encoded.
TEST(Sse, EncodedStreamIsLeftAlone) {
  FakeUpstream upstream(
      Answers("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
              "Transfer-Encoding: chunked\r\n\r\n4\r\n\x1f\x8b\n\n\r\n"));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const RawMessage answer = harness.Ask(Post(Body(kArch, kStream)));
  EXPECT_EQ(answer.body, "\x1f\x8b\n\n");
  EXPECT_FALSE(answer.whole);
}

// What a container says about itself, in both shapes, as OpenAI's clients must hear it.
struct AdviceCase {
  std::string name;
  std::string answer;
  int status;
  std::string type;  // in the body
  std::string retry_after;
  std::string should_retry;
};
class AdviceTest : public testing::TestWithParam<AdviceCase> {};

TEST_P(AdviceTest, IsGiven) {
  FakeUpstream upstream(Answers(GetParam().answer));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.status(), GetParam().status) << answer.head;
  EXPECT_NE(answer.body.find("\"type\":\"" + GetParam().type + "\""), std::string::npos)
      << answer.body;
  EXPECT_EQ(answer.Field("Retry-After").value_or(""), GetParam().retry_after);
  EXPECT_EQ(answer.Field("x-should-retry").value_or(""), GetParam().should_retry);
  EXPECT_EQ(answer.Field("X-TAO-Job-ID"), kJob);
}

std::string ErrorJson(const std::string& type) {
  return R"({"error":{"message":"m","type":")" + type + R"("}})";
}

INSTANTIATE_TEST_SUITE_P(
    Containers, AdviceTest,
    testing::ValuesIn<AdviceCase>({
        {"Accepted", FlaskAnswer(ErrorJson("model_loading"), "202 ACCEPTED"), 503, "model_loading",
         "5", ""},
        {"AcceptedWithoutAWord", FlaskAnswer("", "202 ACCEPTED"), 503, "model_not_ready", "5", ""},
        {"NotReady", FlaskAnswer(ErrorJson("model_not_ready"), "503 SERVICE UNAVAILABLE"), 503,
         "model_not_ready", "5", ""},
        {"LoadFailed", FlaskAnswer(ErrorJson("model_load_error"), "503 SERVICE UNAVAILABLE"), 503,
         "model_load_error", "", "false"},
        {"BadRequest", FlaskAnswer(ErrorJson("invalid_request"), "400 BAD REQUEST"), 400,
         "invalid_request", "", "false"},
        {"InternalError", FlaskAnswer(ErrorJson("internal_error"), "500 INTERNAL SERVER ERROR"),
         500, "internal_error", "", "false"},
        {"OwnAdviceStands",
         "HTTP/1.1 503 X\r\nContent-Type: application/json\r\nRetry-After: 9\r\nContent-Length: "
         "48\r\n\r\n" +
             ErrorJson("model_not_ready"),
         503, "model_not_ready", "9", ""},
    }),
    [](const auto& row) { return row.param.name; });

TEST(Advice, ProberIsToldOfAContainerThatIsNotReady) {
  FakeUpstream upstream(Answers(FlaskAnswer(ErrorJson("model_loading"), "202 ACCEPTED")));
  GatewayHarness harness({ServiceAt(upstream.port())});
  harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(harness.failures.job_ids(), std::vector<std::string>{std::string(kJob)});
}

}  // namespace
}  // namespace tao::gateway
