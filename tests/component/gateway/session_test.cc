// A client's connection: requests one after the other, limits, and the gateway's own answers.

#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

std::string ChunkedHead(const std::string& fields = "") {
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n" +
         fields + "Transfer-Encoding: chunked\r\n\r\n";
}

TEST(KeepAlive, RequestsFollowEachOtherOnOneConnection) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  for (int i = 0; i < 3; ++i) {
    client.Write(Post(Body(kArch)));
    const RawMessage answer = client.ReadMessage();
    EXPECT_EQ(answer.status(), 200);
    EXPECT_EQ(answer.Field("Connection"), std::nullopt);
  }
}

// P38: many at once, answered in their order, though only the first is slow.
TEST(Pipelining, AnswersInOrder) {
  Event go;
  FakeUpstream upstream([&go](FakeUpstream::Peer& peer) {
    const RawMessage request = peer.ReadRequest();
    const bool is_first = request.body.find("\"first\"") != std::string::npos;
    EXPECT_TRUE(!is_first || go.Wait());
    peer.Write(FlaskAnswer(request.body));
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  const std::string fields = HeaderFor(kJob);
  client.Write(Post(R"({"n":"first"})", fields) + Get("/livez") + Post(R"({"n":"third"})", fields) +
               Get("/nowhere") + ChunkedHead(fields) + "d\r\n{\"n\":\"fifth\"}\r\n0\r\n\r\n");
  go.Set();
  EXPECT_EQ(client.ReadMessage().body, R"({"n":"first"})");
  EXPECT_EQ(client.ReadMessage().body, R"({"status":"ok"})");
  EXPECT_EQ(client.ReadMessage().body, R"({"n":"third"})");
  EXPECT_EQ(client.ReadMessage().status(), 404);
  EXPECT_EQ(client.ReadMessage().body, R"({"n":"fifth"})");
}

// P36, P34: what the client asked to be the last is the last.
TEST(KeepAlive, EndsWhereTheClientSaysSo) {
  GatewayHarness harness({});
  for (const std::string& request :
       {Get("/livez", "Connection: close\r\n"), std::string("GET /livez HTTP/1.0\r\n\r\n")}) {
    RawSocket client = harness.Connect();
    client.Write(request + Get("/livez"));
    const RawMessage answer = client.ReadMessage();
    EXPECT_EQ(answer.status(), 200);
    EXPECT_EQ(answer.Field("Connection"), "close");
    EXPECT_EQ(client.ReadToEnd(), "");
    EXPECT_EQ(client.end(), RawSocket::End::kFin);
  }
}

TEST(Limits, SlowHeadIs408AndSilentConnectionJustCloses) {
  GatewayConfig config = GatewayHarness::Config();
  config.head_timeout = absl::Milliseconds(50);
  config.idle_timeout = absl::Milliseconds(50);
  GatewayHarness harness({}, config);
  RawSocket slow = harness.Connect();
  slow.Write("GET /livez HT");
  const RawMessage answer = slow.ReadMessage();
  EXPECT_EQ(answer.status(), 408);
  EXPECT_EQ(answer.Field("Connection"), "close");

  RawSocket silent = harness.Connect();
  EXPECT_EQ(silent.ReadToEnd(), "");
  RawSocket used = harness.Connect();
  used.Write(Get("/livez"));
  EXPECT_EQ(used.ReadMessage().status(), 200);
  EXPECT_EQ(used.ReadToEnd(), "");
}

// C39: the client stalls in its body.
TEST(Limits, SlowBodyIs408AndTouchesNoBackend) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayConfig config = GatewayHarness::Config();
  config.body_timeout = absl::Milliseconds(50);
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  for (const std::string& request :
       {ChunkedHead() + "5\r\n{\"a\"", Post("{}").substr(0, Post("{}").size() - 1)}) {
    const RawMessage answer = harness.Ask(request);
    EXPECT_EQ(answer.status(), 408);
    EXPECT_EQ(answer.Field("Connection"), "close");
  }
  EXPECT_EQ(upstream.connections(), 0);
}

// C69: too much is refused before it is read, where the head says so; else where it shows.
TEST(Limits, TooLargeBodyIs413) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayConfig config = GatewayHarness::Config();
  config.max_body_bytes = 1000;
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  const RawMessage declared = harness.Ask(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"
      "Content-Length: 10737418240\r\n\r\n");
  EXPECT_EQ(declared.status(), 413);
  EXPECT_EQ(declared.Field("X-TAO-Error"), "body_too_large");
  EXPECT_EQ(declared.Field("Connection"), "close");
  const RawMessage chunked = harness.Ask(ChunkedHead() + "7d0\r\n" + std::string(1500, ' '));
  EXPECT_EQ(chunked.status(), 413);
  EXPECT_EQ(upstream.connections(), 0);
}

// C62, P40, P41: one 100, when it was asked for, and none when the head alone decides.
TEST(ExpectContinue, IsAnsweredOnceAndOnlyWhenAsked) {
  FakeUpstream upstream(Answers("HTTP/1.1 100 Continue\r\n\r\n" + FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const std::string body = Body(kArch);
  const std::string request = Post(body, "Expect: 100-continue\r\n");
  RawSocket client = harness.Connect();
  client.Write(request.substr(0, request.size() - body.size()));
  EXPECT_EQ(client.ReadThrough("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Write(body);
  EXPECT_EQ(client.ReadMessage().status(), 200);

  EXPECT_EQ(harness.Ask(request).status(), 200) << "the body came without waiting: no 100";
  EXPECT_EQ(upstream.received().find("Expect"), std::string::npos);

  const std::string unknown = Post("{}", HeaderFor("nobody") + "Expect: 100-continue\r\n");
  const RawMessage refused = harness.Ask(unknown.substr(0, unknown.size() - 2));
  EXPECT_EQ(refused.status(), 404);
  EXPECT_EQ(refused.Field("Connection"), "close");

  EXPECT_EQ(harness.Ask(Post(body, "Expect: 200-ok\r\n")).status(), 417);
}

TEST(LocalAnswers, MethodsAndPaths) {
  GatewayHarness harness({});
  const struct {
    std::string method;
    std::string path;
    int status;
    std::string allow;
  } rows[] = {
      {"GET", "/livez", 200, ""},
      {"HEAD", "/livez", 200, ""},
      {"GET", "/readyz", 200, ""},
      {"GET", "/v1/models", 200, ""},
      {"HEAD", "/v1/models", 200, ""},
      {"OPTIONS", "/v1/models", 204, "GET, HEAD, OPTIONS"},
      {"POST", "/v1/models", 405, "GET, HEAD, OPTIONS"},
      {"GET", "/v1/chat/completions", 405, "POST, OPTIONS"},
      {"HEAD", "/v1/chat/completions", 405, "POST, OPTIONS"},
      {"OPTIONS", "/v1/chat/completions", 204, "POST, OPTIONS"},
      {"OPTIONS", "*", 204, "GET, HEAD, POST, OPTIONS"},
      {"GET", "/", 404, ""},
      {"GET", "/v1/models/", 404, ""},
      {"POST", "/v1/completions", 404, ""},
      {"GET", "/services/x/livez", 404, ""},
  };
  RawSocket client = harness.Connect();
  for (const auto& row : rows) {
    client.Write(row.method + " " + row.path + " HTTP/1.1\r\nHost: g\r\n\r\n");
    const RawMessage answer = client.ReadMessage(row.method != "HEAD");
    EXPECT_EQ(answer.status(), row.status) << row.method << " " << row.path;
    EXPECT_EQ(answer.Field("Allow").value_or(""), row.allow) << row.method << " " << row.path;
    EXPECT_TRUE(answer.Field("X-Request-Id").has_value());
    EXPECT_TRUE(answer.Field("Date").has_value());
    if (row.status >= 400) {
      EXPECT_EQ(answer.Field("Content-Type"), "application/json");
    }
  }
}

TEST(LocalAnswers, RequestIdIsTheClientsIfItIsSane) {
  GatewayHarness harness({});
  EXPECT_EQ(harness.Ask(Get("/livez", "X-Request-Id: a.B_c-1:2\r\n")).Field("x-request-id"),
            "a.B_c-1:2");
  for (const std::string& bad : {std::string("a b"), std::string("a\"b"), std::string(129, 'a')}) {
    const std::optional<std::string> id =
        harness.Ask(Get("/livez", "X-Request-Id: " + bad + "\r\n")).Field("x-request-id");
    EXPECT_EQ(id.value_or("").substr(0, 4), "req-");
  }
}

// P35: a body that nobody wants must not be read as the next request, nor cost the connection if it
// is short.
TEST(LocalAnswers, UnwantedBodyIsReadOrTheConnectionCloses) {
  GatewayHarness harness({});
  const std::string smuggled = Get("/v1/models");
  RawSocket client = harness.Connect();
  client.Write(Post(smuggled, "", "/nowhere") + Get("/livez"));
  EXPECT_EQ(client.ReadMessage().status(), 404);
  EXPECT_EQ(client.ReadMessage().body, R"({"status":"ok"})");

  const RawMessage large =
      harness.Ask("POST /nowhere HTTP/1.1\r\nHost: g\r\nContent-Length: 70000\r\n\r\n");
  EXPECT_EQ(large.status(), 404);
  EXPECT_EQ(large.Field("Connection"), "close");
}

// P37: the answer to a refused upload arrives, though the client is still sending.
TEST(LocalAnswers, RefusalReachesAClientThatGoesOnSending) {
  GatewayHarness harness({});
  RawSocket client = harness.Connect();
  client.Write(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: text/plain\r\n"
      "Content-Length: 100000000\r\n\r\n");
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 8; ++i) client.Write(piece);
  EXPECT_EQ(client.ReadMessage().status(), 415);
}

TEST(MediaType, OnlyUncompressedJsonIsTaken) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const std::string head = "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n";
  const struct {
    std::string fields;
    int status;
  } rows[] = {
      {"", 415},
      {"Content-Type: text/plain\r\n", 415},
      {"Content-Type: application/jsonl\r\n", 415},
      {"Content-Type: application/json\r\nContent-Type: application/json\r\n", 415},
      {"Content-Type: application/json\r\nContent-Encoding: gzip\r\n", 415},
      {"Content-Type: Application/JSON; charset=utf-8\r\n", 200},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(harness.Ask(head + row.fields + "\r\n{}").status(), row.status) << row.fields;
  }
  EXPECT_EQ(upstream.connections(), 1);
}

// C70 to C74: what backends could read in another way never reaches one.
TEST(BadBodies, Are400AndTouchNoBackend) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port())});
  for (const std::string& body :
       {std::string(""), std::string("[]"), std::string("null"), std::string("{"),
        std::string("{} {}"), std::string("{\"a\":NaN}"), std::string("{'a':1}"),
        std::string("\xef\xbb\xbf{}"), std::string("{\"a\":\"\xff\"}"), std::string(100000, '['),
        std::string(R"({"model":"a","model":"b"})"), std::string(R"({"model":"\ud800"})")}) {
    const RawMessage answer = harness.Ask(Post(body));
    EXPECT_EQ(answer.status(), 400) << body.substr(0, 50) << answer.head;
    EXPECT_EQ(answer.Field("X-TAO-Error"), "bad_request");
  }
  EXPECT_EQ(upstream.connections(), 0);
}

TEST(Readiness, WaitsForTheFirstTable) {
  absl::StatusOr<std::unique_ptr<Gateway>> gateway =
      Gateway::Start(GatewayHarness::Config(), nullptr);
  ASSERT_TRUE(gateway.ok());
  RawSocket client = RawSocket::Connect((*gateway)->port());
  client.Write(Get("/readyz") + Get("/livez"));
  EXPECT_EQ(client.ReadMessage().status(), 503);
  EXPECT_EQ(client.ReadMessage().status(), 200);
}

}  // namespace
}  // namespace tao::gateway
