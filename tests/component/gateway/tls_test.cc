// Backends behind TLS: what is trusted, what is kept, and how connections end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"
#include "tests/fakes/tls_front.h"

namespace tao::gateway {
namespace {

using testing::HasSubstr;

constexpr size_t kMiB = 1024 * 1024;
constexpr size_t kLarge = 64 * kMiB;
const std::string kKeepAliveAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

// A gateway that trusts the tests' CA and knows *.test.example.
GatewayConfig TlsConfig() {
  GatewayConfig config = GatewayHarness::Config();
  config.workers = 1;
  config.upstream.ca_file = TestCertificates::ca_file();
  config.upstream.lookup = [](const std::string&) {
    upstream::Resolution found;
    found.addresses = {boost::asio::ip::make_address("127.0.0.1")};
    return found;
  };
  return config;
}

routing::Service HttpsServiceAt(uint16_t port, const std::string& host = "127.0.0.1",
                                std::string_view job_id = kJob) {
  routing::Service service = ServiceAt(port, job_id);
  service.backend.scheme = "https";
  service.backend.host = host;
  service.backend.authority = host + ":" + std::to_string(port);
  return service;
}

FakeUpstream::Script KeepsAlive() {
  return [](FakeUpstream::Peer& peer) {
    while (peer.ReadRequest().whole) peer.Write(kKeepAliveAnswer);
  };
}

void ExpectConnectError(const RawMessage& answer, const std::string& why) {
  EXPECT_EQ(answer.status(), 502) << answer.head;
  EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_connect");
  EXPECT_THAT(answer.body, HasSubstr(why));
}

TEST(TlsUpstream, CarriesACompletion) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  TlsFront front(upstream.port());
  GatewayHarness harness({HttpsServiceAt(front.port(), "job.test.example")}, TlsConfig());
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.status(), 200) << answer.body;
  EXPECT_EQ(answer.body, kCompletion);
  EXPECT_THAT(upstream.received(),
              HasSubstr("\r\nHost: job.test.example:" + std::to_string(front.port()) + "\r\n"));
  EXPECT_EQ(front.counts().server_name, "job.test.example");
  EXPECT_EQ(front.counts().protocol, "http/1.1");
}

// RFC 6066: a literal address is no server name; RFC 9525: it must be in the certificate as one.
TEST(TlsUpstream, ChecksALiteralAddressAsOne) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  TlsFront front(upstream.port());
  GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(front.counts().server_name, "");
}

// A tunnel's end is not the name of what is behind it.
TEST(TlsUpstream, ChecksTheNameOfTheAuthority) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  TlsFront front(upstream.port());
  routing::Service service = HttpsServiceAt(front.port());
  service.backend.authority = "job.test.example";
  GatewayHarness harness({service}, TlsConfig());
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(front.counts().server_name, "job.test.example");
}

TEST(TlsUpstream, StreamsEventByEvent) {
  Event first_read;
  const std::string event = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + event);
    EXPECT_TRUE(first_read.Wait());
    peer.Write(event + "data: [DONE]\n\n");
  });
  TlsFront front(upstream.port());
  GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch, ",\"stream\":true")));
  EXPECT_THAT(client.ReadThrough("\n\n"), HasSubstr("event-stream"));
  first_read.Set();
  EXPECT_THAT(client.ReadThrough("[DONE]\n\n"), HasSubstr("\"a\""));
}

TEST(TlsUpstream, PassesLargeBodiesUnchangedBothWays) {
  std::string want(kLarge, ' ');
  for (size_t i = 0; i < want.size(); ++i)
    want[i] = static_cast<char>('a' + (i * 7 + i / 977) % 26);
  const std::string body =
      R"({"model":")" + std::string(kArch) + R"(","messages":[")" + want + "\"]}";
  bool arrived = false;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    arrived = peer.ReadBytes(body.size()) == body;
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
               std::to_string(kLarge) + "\r\n\r\n");
    peer.Write(want);
  });
  TlsFront front(upstream.port());
  GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
  RawSocket client = harness.Connect();
  EXPECT_TRUE(client.Write(Post(body)));
  const RawMessage answer = client.ReadMessage();
  EXPECT_TRUE(arrived);
  EXPECT_EQ(answer.status(), 200);
  EXPECT_TRUE(answer.body == want);
}

// Back-pressure: what a client does not read is not taken from the backend.
TEST(TlsUpstream, IsNotReadForAClientThatDoesNotRead) {
  Event stalled;
  std::atomic<size_t> sent = 0;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
               std::to_string(size_t{1} << 30) + "\r\n\r\n");
    const timeval limit = {0, 500000};  // no progress for so long: the gateway has stopped reading
    ::setsockopt(peer.socket().fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    const std::string piece(64 * 1024, 'y');
    while (peer.Write(piece)) sent += piece.size();
    stalled.Set();
  });
  TlsFront front(upstream.port());
  GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch)));
  EXPECT_TRUE(stalled.Wait());
  EXPECT_LT(sent.load(), 64 * kMiB) << "the kernel's buffers, not ours";
}

TEST(TlsReuse, KeepAliveConnectionCarriesTheNextRequest) {
  FakeUpstream upstream(KeepsAlive());
  TlsFront front(upstream.port());
  GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(front.counts().accepted, 1);
}

class TlsSessionTest : public testing::TestWithParam<int> {};

TEST_P(TlsSessionTest, NewConnectionsSpareTheFullHandshake) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));  // closes after each
  TlsFront front(upstream.port(), {.newest_version = GetParam()});
  const std::vector<routing::Service> services = {HttpsServiceAt(front.port())};
  GatewayHarness harness(services, TlsConfig());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(front.counts().full_handshakes, 1);
  EXPECT_EQ(front.counts().resumed, 2);

  harness.Publish({});  // the service has gone, and its sessions with it
  harness.Publish(services);
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(front.counts().full_handshakes, 2);
}

INSTANTIATE_TEST_SUITE_P(Versions, TlsSessionTest, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

struct RefusedCase {
  std::string name;
  TlsFrontOptions options;
  std::string host;
  std::string why;
};
class TlsRefusedTest : public testing::TestWithParam<RefusedCase> {};

TEST_P(TlsRefusedTest, Is502ThatSaysWhy) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  TlsFront front(upstream.port(), GetParam().options);
  routing::Service service = HttpsServiceAt(front.port(), GetParam().host);
  service.backend.credential = base::Secret("Bearer refused-test-token");
  GatewayHarness harness({service}, TlsConfig());
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  ExpectConnectError(answer, GetParam().why);
  EXPECT_EQ(answer.body.find("refused-test-token"), std::string::npos);
  EXPECT_EQ(upstream.connections(), 0) << "nothing was sent";
  EXPECT_EQ(harness.failures.job_ids().size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(
    Certificates, TlsRefusedTest,
    testing::ValuesIn<RefusedCase>({
        {"WrongName",
         {.certificate = "wrong"},
         "localhost",
         "its certificate is for \\\"other.example\\\", not for localhost"},
        {"WrongAddress", {.certificate = "wrong"}, "127.0.0.1", "not for 127.0.0.1"},
        {"TooDeepForTheWildcard", {}, "a.b.test.example", "not for a.b.test.example"},
        {"Expired", {.certificate = "expired"}, "localhost", "its certificate has expired (on 20"},
        {"UnknownCa", {.certificate = "stranger"}, "localhost", "a CA that is not trusted here"},
        {"Tls11", {.newest_version = TLS1_1_VERSION}, "localhost", "it speaks no TLS 1.2 or newer"},
    }),
    [](const auto& row) { return row.param.name; });

TEST(TlsRefused, PlainHttpIsNamedAsSuch) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    peer.Write("HTTP/1.0 400 Bad Request\r\n\r\n");
    peer.WaitForEnd();
  });
  GatewayHarness harness({HttpsServiceAt(upstream.port())}, TlsConfig());
  ExpectConnectError(harness.Ask(Post(Body(kArch))), "what it says is not TLS; is it plain http?");
}

TEST(TlsRefused, BackendThatLeavesDuringTheHandshake) {
  FakeUpstream upstream([](FakeUpstream::Peer&) {});
  GatewayHarness harness({HttpsServiceAt(upstream.port())}, TlsConfig());
  ExpectConnectError(harness.Ask(Post(Body(kArch))), "TLS handshake: ");
}

// A kept body's file cannot go straight from the kernel to a connection that is encrypted.
TEST(TlsUpstream, AKeptBodyIsReadFromItsFile) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    const RawMessage request = peer.ReadRequest();
    peer.Write(FlaskAnswer(std::to_string(std::hash<std::string>()(request.body))));
  });
  TlsFront front(upstream.port());
  GatewayHarness harness({HttpsServiceAt(front.port()), HttpsServiceAt(1, "127.0.0.1", kOtherJob)},
                         TlsConfig());
  const std::string body = R"({"messages":[")" + std::string(3 * kMiB + 17, 'a') +
                           R"("],"model":")" + std::string(kJob) + "\"}";
  EXPECT_EQ(harness.Ask(Post(body)).body, std::to_string(std::hash<std::string>()(body)));
}

TEST(TlsTimeouts, HandshakeCountsAsConnecting) {
  FakeUpstream upstream([](FakeUpstream::Peer&) {});
  TlsFront front(upstream.port(), {.shakes_hands = false});
  GatewayConfig config = TlsConfig();
  config.upstream.timeouts.connect = absl::Milliseconds(100);
  GatewayHarness harness({HttpsServiceAt(front.port())}, config);
  ExpectConnectError(harness.Ask(Post(Body(kArch))), "no TLS handshake within 100ms");
  EXPECT_TRUE(front.WaitFor([](const auto& counts) { return counts.cuts == 1; }));
}

TEST(TlsTimeouts, FirstByteIs504) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.WaitForEnd();
  });
  TlsFront front(upstream.port());
  GatewayConfig config = TlsConfig();
  config.upstream.timeouts.first_byte = absl::Milliseconds(100);
  GatewayHarness harness({HttpsServiceAt(front.port())}, config);
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).Field("X-TAO-Error"), "upstream_timeout");
}

// An answer without a length ends with the connection: only a close_notify shows that nobody cut
// it.
TEST(TlsTruncation, OfAnAnswerWithoutLengthIsNoEnd) {
  for (const bool says_goodbye : {true, false}) {
    FakeUpstream upstream(
        Answers("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + kCompletion));
    TlsFront front(upstream.port(), {.says_goodbye = says_goodbye});
    GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
    const RawMessage answer = harness.Ask(Post(Body(kArch)));
    EXPECT_EQ(answer.status(), 200);
    EXPECT_EQ(answer.whole, says_goodbye);
    EXPECT_EQ(harness.failures.job_ids().size(), says_goodbye ? 0U : 1U);
  }
}

TEST(TlsTruncation, BeforeTheHeadIsUpstreamReset) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) { peer.ReadRequest(); });
  for (const bool says_goodbye : {true, false}) {
    TlsFront front(upstream.port(), {.says_goodbye = says_goodbye});
    GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
    const RawMessage answer = harness.Ask(Post(Body(kArch)));
    EXPECT_EQ(answer.status(), 502);
    EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_reset");
    EXPECT_THAT(answer.body, HasSubstr("closed the connection"));
  }
}

TEST(TlsEnds, AnIdleConnectionIsAnnounced) {
  FakeUpstream upstream(KeepsAlive());
  TlsFront front(upstream.port());
  GatewayConfig config = TlsConfig();
  config.upstream.idle_timeout = absl::Milliseconds(50);
  GatewayHarness harness({HttpsServiceAt(front.port())}, config);
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_TRUE(front.WaitFor([](const auto& counts) { return counts.goodbyes == 1; }));
}

// A request that was refused while it went out must not look like a whole one.
TEST(TlsEnds, ARefusedRequestIsCut) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) { EXPECT_FALSE(peer.ReadRequest().whole); });
  TlsFront front(upstream.port());
  GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
  const std::string body = R"({"model":")" + std::string(kArch) + R"(","messages":[")" +
                           std::string(kMiB, 'x') + "\"]]]";
  EXPECT_EQ(harness.Ask(Post(body)).status(), 400);
  EXPECT_TRUE(front.WaitFor([](const auto& counts) { return counts.cuts == 1; }));
  EXPECT_EQ(front.counts().goodbyes, 0);
}

// Where the exchange is when its client leaves. The upstream is closed at once, without an end that
// could be taken for one.
struct LeavingCase {
  std::string name;
  TlsFrontOptions options;
  bool uploads = false;  // a long body, which the backend does not read
  bool answers = false;  // a long answer, which the client does not read
};
class TlsClientLeavesTest : public testing::TestWithParam<LeavingCase> {};

TEST_P(TlsClientLeavesTest, UpstreamIsCutAtOnce) {
  const LeavingCase& phase = GetParam();
  Event in_phase;
  Event release;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    in_phase.Set();
    if (phase.answers) {
      peer.Write(
          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
          "Content-Length: 1000000000\r\n\r\n");
      while (peer.Write(std::string(64 * 1024, 'y'))) {
      }
    } else if (phase.uploads) {
      EXPECT_TRUE(release.Wait());
    } else {
      peer.WaitForEnd();
    }
  });
  TlsFront front(upstream.port(), phase.options);
  GatewayHarness harness({HttpsServiceAt(front.port())}, TlsConfig());
  RawSocket client = harness.Connect();
  if (phase.uploads) {
    client.Write(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json"
        "\r\nContent-Length: 1000000000\r\n\r\n{\"model\":\"cosmos-rl\",\"messages\":\"" +
        std::string(kMiB, 'x'));
  } else {
    client.Write(Post(Body(kArch)));
  }
  if (phase.options.shakes_hands) {
    EXPECT_TRUE(in_phase.Wait());
  } else {
    EXPECT_TRUE(front.WaitFor([](const auto& counts) { return counts.accepted == 1; }));
  }
  const absl::Time left = absl::Now();
  client.Close();
  EXPECT_TRUE(front.WaitFor([](const auto& counts) { return counts.cuts == 1; }));
  RecordProperty("milliseconds", static_cast<int>(absl::ToInt64Milliseconds(absl::Now() - left)));
  EXPECT_EQ(front.counts().goodbyes, 0);
  release.Set();
}

INSTANTIATE_TEST_SUITE_P(Phases, TlsClientLeavesTest,
                         testing::ValuesIn<LeavingCase>({
                             {"ShakingHands", {.shakes_hands = false}},
                             {"Uploading", {}, true, false},
                             {"AwaitingTheHead", {}},
                             {"InTheAnswer", {}, false, true},
                         }),
                         [](const auto& row) { return row.param.name; });

// The token is for its own backend, and nobody else's.
TEST(TlsCredential, GoesToItsBackendAlone) {
  FakeUpstream secret(Answers(FlaskAnswer("{}"))), other(Answers(FlaskAnswer("{}")));
  TlsFront front(secret.port());
  routing::Service lepton = HttpsServiceAt(front.port());
  lepton.backend.credential = base::Secret("Bearer tls-test-token");
  GatewayHarness harness({lepton, ServiceAt(other.port(), kOtherJob)}, TlsConfig());
  for (const std::string_view job : {kJob, kOtherJob}) {
    const RawMessage answer =
        harness.Ask(Post("{}", HeaderFor(job) + "Authorization: Bearer clients-own\r\n"));
    EXPECT_EQ(answer.status(), 200) << answer.body;
    EXPECT_EQ((answer.head + answer.body).find("tls-test-token"), std::string::npos);
  }
  EXPECT_THAT(secret.received(), HasSubstr("\r\nAuthorization: Bearer tls-test-token\r\n"));
  EXPECT_EQ(secret.received().find("clients-own"), std::string::npos);
  EXPECT_THAT(other.received(), HasSubstr("\r\nAuthorization: Bearer clients-own\r\n"));
  EXPECT_EQ(other.received().find("tls-test-token"), std::string::npos);
}

TEST(TlsConfig, CaFileThatHoldsNoneIsRefusedWithAdvice) {
  for (const std::string& file : {std::string("/nonexistent/ca.pem"), std::string("/dev/null")}) {
    GatewayConfig config = GatewayHarness::Config();
    config.upstream.ca_file = file;
    const auto started = Gateway::Start(config, nullptr);
    ASSERT_FALSE(started.ok()) << file;
    EXPECT_EQ(started.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(started.status().message()), HasSubstr("--upstream-ca-file"));
  }
}

}  // namespace
}  // namespace tao::gateway
