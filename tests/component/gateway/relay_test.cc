// What the backend's answer looks like to the client, and the request to the backend.

#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

struct RelayCase {
  std::string name;
  std::string answer;  // the backend's bytes; then it closes
  int want_status = 200;
  std::string want_body;
  bool want_whole = true;
};

class RelayTest : public testing::TestWithParam<RelayCase> {};

TEST_P(RelayTest, ReframesTheAnswerForBothVersionsOfHttp) {
  const RelayCase& relay = GetParam();
  FakeUpstream upstream(Answers(relay.answer));
  GatewayHarness harness({ServiceAt(upstream.port())});

  const RawMessage modern = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(modern.status(), relay.want_status) << modern.head;
  EXPECT_EQ(modern.whole, relay.want_whole) << modern.body;
  EXPECT_FALSE(modern.by_close) << "an HTTP/1.1 client must see where the answer ends";
  if (relay.want_whole) {
    EXPECT_EQ(modern.body, relay.want_body);
  }

  // Of its own: the backend closes even where it said that it would not.
  GatewayHarness other({ServiceAt(upstream.port())});
  std::string old_request = Post(Body(kArch));
  old_request.replace(old_request.find("HTTP/1.1"), 8, "HTTP/1.0");
  const RawMessage old = other.Ask(old_request);
  EXPECT_EQ(old.status(), relay.want_status);
  EXPECT_EQ(old.Field("Transfer-Encoding"), std::nullopt);
  EXPECT_EQ(old.Field("Connection"), "close");
  EXPECT_EQ(old.whole, relay.want_whole) << old.body;
  if (relay.want_whole) {
    EXPECT_EQ(old.body, relay.want_body);
  }
}

const std::string kJsonHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

INSTANTIATE_TEST_SUITE_P(
    Answers, RelayTest,
    testing::ValuesIn<RelayCase>({
        {"ContentLength", kJsonHead + "Content-Length: 5\r\n\r\nhello", 200, "hello"},
        {"EmptyBody", kJsonHead + "Content-Length: 0\r\n\r\n", 200, ""},
        {"Chunked",
         kJsonHead +
             "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: r\r\n\r\n",
         200, "hello"},
        {"UntilClose", kJsonHead + "\r\nhello", 200, "hello"},
        {"Flask", FlaskAnswer("hello"), 200, "hello"},
        {"InterimHeadsAreSwallowed",
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + kJsonHead +
             "Content-Length: 5\r\n\r\nhello",
         200, "hello"},
        {"NoContent", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
        {"ClientError", FlaskAnswer("{}", "404 NOT FOUND"), 404, "{}"},
        {"ContentLengthCutShort", kJsonHead + "Content-Length: 9\r\n\r\nhello", 200, "", false},
        {"ChunkedCutShort", kJsonHead + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200, "",
         false},
    }),
    [](const auto& row) { return row.param.name; });

// P1 to P7: our version and Via, the backend's Host, nothing of the hop, everything else untouched.
TEST(RelayedRequest, IsRewrittenForTheBackend) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  routing::Service service = ServiceAt(upstream.port());
  service.backend.base_path = "/base";
  service.backend.authority = "backend:1234";
  GatewayHarness harness({service});
  const std::string body = Body(kJob);
  const RawMessage answer = harness.Ask(
      "POST /archs/cosmos-rl/v1/chat/completions?a=%2F&b HTTP/1.1\r\nHost: g\r\n"
      "Content-Type: application/json; charset=utf-8\r\nConnection: x-hop, keep-alive\r\nX-Hop: "
      "1\r\n"
      "Keep-Alive: 5\r\nTE: trailers\r\nAuthorization: Bearer mine\r\nX-Own: a\xe4z\r\nX-Own: "
      "second\r\n"
      "Via: 1.0 before\r\nX-Request-Id: my-id\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(answer.status(), 200);
  const std::string got = upstream.received();
  EXPECT_EQ(got.substr(0, got.find("\r\n")), "POST /base/v1/chat/completions?a=%2F&b HTTP/1.1");
  EXPECT_NE(got.find("\r\nHost: backend:1234\r\n"), std::string::npos);
  EXPECT_NE(got.find("\r\nAuthorization: Bearer mine\r\nX-Own: a\xe4z\r\nX-Own: second\r\n"),
            std::string::npos);
  EXPECT_NE(got.find("\r\nVia: 1.0 before\r\nVia: 1.1 tao-inference\r\n"), std::string::npos);
  EXPECT_NE(got.find("\r\nX-Request-ID: my-id-req-"), std::string::npos);
  EXPECT_NE(got.find("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"),
            std::string::npos);
  for (const char* gone : {"X-Hop", "Keep-Alive", "TE:", "Connection", "Host: g"}) {
    EXPECT_EQ(got.find(gone), std::string::npos) << gone;
  }
  EXPECT_EQ(got.substr(got.find("\r\n\r\n") + 4), body);
  EXPECT_EQ(answer.Field("X-Request-Id"), "my-id");
}

TEST(RelayedRequest, CarriesTheBackendsCredentialInPlaceOfTheClients) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  routing::Service service = ServiceAt(upstream.port());
  service.backend.credential = base::Secret("Bearer lepton-token");
  GatewayHarness harness({service});
  harness.Ask(Post(Body(kArch), "Authorization: Bearer mine\r\n"));
  const std::string got = upstream.received();
  EXPECT_NE(got.find("\r\nAuthorization: Bearer lepton-token\r\n"), std::string::npos);
  EXPECT_EQ(got.find("mine"), std::string::npos);
}

// P31, P32, C35: chunks are taken apart and made anew; extensions and trailers end here.
TEST(RelayedRequest, ChunkedBodyArrivesWhole) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const RawMessage answer = harness.Ask(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n2;ext=1\r\n{}\r\n0\r\nX-Trailer: evil\r\n\r\n");
  EXPECT_EQ(answer.status(), 200) << answer.head << answer.body;
  const std::string got = upstream.received();
  EXPECT_EQ(got.substr(got.size() - 6), "\r\n\r\n{}");
  EXPECT_EQ(got.find("evil"), std::string::npos);
}

TEST(RelayedAnswer, NamesItsServiceAndKeepsTheRest) {
  FakeUpstream upstream(
      Answers("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: a=1\r\n"
              "Set-Cookie: b=2\r\nX-Request-Id: theirs\r\nX-Hop: 1\r\nConnection: x-hop\r\n"
              "Content-Length: 2\r\n\r\n{}"));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.Field("X-TAO-Job-ID"), kJob);
  EXPECT_EQ(answer.Field("X-TAO-Network-Arch"), kArch);
  EXPECT_NE(answer.head.find("\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), std::string::npos);
  EXPECT_EQ(answer.head.find("theirs"), std::string::npos);
  EXPECT_EQ(answer.Field("X-Hop"), std::nullopt);
  EXPECT_TRUE(answer.Field("X-Request-Id").has_value());
  EXPECT_TRUE(answer.Field("Date").has_value());  // the backend gave none
}

}  // namespace
}  // namespace tao::gateway
