// Connections to backends: failures, time-outs, reuse.

#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

const std::string kKeepAliveAnswer =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

GatewayConfig OneWorker() {
  GatewayConfig config = GatewayHarness::Config();
  config.workers = 1;
  return config;
}

// A port that nobody listens on.
uint16_t FreePort() {
  FakeUpstream upstream([](FakeUpstream::Peer&) {});
  return upstream.port();
}

void ExpectConnectError(const RawMessage& answer, const std::string& word) {
  EXPECT_EQ(answer.status(), 502) << answer.head;
  EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_connect");
  EXPECT_EQ(answer.Field("Proxy-Status"), "tao-inference; error=" + word);
  EXPECT_EQ(answer.Field("X-TAO-Job-ID"), kJob);
}

TEST(Connect, RefusedIs502AndReported) {
  GatewayHarness harness({ServiceAt(FreePort())});
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  ExpectConnectError(answer, "connection_refused");
  EXPECT_NE(answer.body.find("Connection refused"), std::string::npos) << answer.body;
  EXPECT_EQ(harness.failures.job_ids().size(), 1U);
}

// A listener whose queue is full takes no further connection: as a host that swallows packets.
TEST(Connect, TimeOutIs502) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  RawSocket first = RawSocket::Connect(ntohs(address.sin_port));

  GatewayConfig config = OneWorker();
  config.upstream.timeouts.connect = absl::Milliseconds(100);
  GatewayHarness harness({ServiceAt(ntohs(address.sin_port))}, config);
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  ExpectConnectError(answer, "connection_timeout");
  EXPECT_NE(answer.body.find("no answer within 100ms"), std::string::npos) << answer.body;
  ::close(listener);
}

TEST(Connect, NameIsLookedUp) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  routing::Service service = ServiceAt(upstream.port());
  service.backend.host = "localhost";
  GatewayHarness harness({service});
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);

  service.backend.host = "no-such-host.invalid";
  harness.Publish({service});
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  ExpectConnectError(answer, "dns_error");
}

TEST(Timeouts, FirstByteIs504AndClosesTheUpstream) {
  Event closed;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    if (peer.WaitForEnd()) closed.Set();
  });
  GatewayConfig config = OneWorker();
  config.upstream.timeouts.first_byte = absl::Milliseconds(100);
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.status(), 504);
  EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_timeout");
  EXPECT_EQ(answer.Field("x-should-retry"), "false");
  EXPECT_TRUE(closed.Wait());
  EXPECT_EQ(harness.failures.job_ids().size(), 1U);
}

TEST(Timeouts, SilenceInTheMiddleCutsTheAnswer) {
  Event closed;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\nhe");
    if (peer.WaitForEnd()) closed.Set();
  });
  GatewayConfig config = OneWorker();
  config.upstream.timeouts.between_bytes = absl::Milliseconds(100);
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.status(), 200);
  EXPECT_FALSE(answer.whole);
  EXPECT_TRUE(closed.Wait());
}

// Answers nothing to any request.
void NeverAnswers(FakeUpstream::Peer& peer) {
  peer.ReadRequest();
  peer.WaitForEnd();
}

TEST(Timeouts, AnArchHasItsOwn) {
  FakeUpstream upstream(NeverAnswers);
  routing::Service hasty = ServiceAt(upstream.port());
  hasty.timeouts.first_byte = absl::Milliseconds(100);
  GatewayHarness harness({hasty}, OneWorker());
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).Field("X-TAO-Error"), "upstream_timeout");
}

TEST(Timeouts, AClientShortensThemForItself) {
  FakeUpstream upstream(NeverAnswers);
  GatewayHarness harness({ServiceAt(upstream.port())}, OneWorker());
  for (const std::string header : {"x-stainless-read-timeout: 0.1", "x-stainless-timeout: 0.1"}) {
    const RawMessage answer = harness.Ask(Post(Body(kArch), header + "\r\n"));
    EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_timeout") << header;
  }
}

TEST(Timeouts, AClientCannotLengthenThem) {
  FakeUpstream upstream(NeverAnswers);
  GatewayConfig config = OneWorker();
  config.upstream.timeouts.first_byte = absl::Milliseconds(100);
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  const RawMessage answer = harness.Ask(Post(Body(kArch), "x-stainless-read-timeout: 600\r\n"));
  EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_timeout");
}

TEST(Timeouts, TotalEndsAnAnswerThatFlows) {
  Event closed;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    while (peer.Write("data: {}\n\n")) std::this_thread::yield();
    closed.Set();
  });
  GatewayConfig config = OneWorker();
  config.upstream.timeouts.total = absl::Milliseconds(200);
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  const RawMessage answer = harness.Ask(Post(Body(kArch, ",\"stream\":true")));
  EXPECT_EQ(answer.status(), 200);
  EXPECT_FALSE(answer.whole);
  EXPECT_TRUE(closed.Wait());
}

TEST(Reuse, KeepAliveConnectionCarriesTheNextRequest) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    while (peer.ReadRequest().whole) peer.Write(kKeepAliveAnswer);
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, OneWorker());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(upstream.connections(), 1);
}

// U05, P51: what comes unasked is never the next request's answer.
TEST(Reuse, ConnectionThatSaidMoreThanItShouldIsDropped) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write(kKeepAliveAnswer + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    peer.ReadRequest();
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, OneWorker());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(harness.Ask(Post(Body(kArch))).body, "{}");
  EXPECT_EQ(upstream.connections(), 2);
}

// U09: the backend closed the idle connection; the next request takes a new one.
TEST(Reuse, ConnectionThatTheBackendClosedIsNotUsed) {
  FakeUpstream upstream(Answers(kKeepAliveAnswer));  // says keep-alive, and closes
  GatewayHarness harness({ServiceAt(upstream.port())}, OneWorker());
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch)));
  EXPECT_EQ(client.ReadMessage().status(), 200);
  while (upstream.finished() < 1) std::this_thread::yield();
  client.Write(Post(Body(kArch)));
  EXPECT_EQ(client.ReadMessage().status(), 200);
  EXPECT_EQ(upstream.connections(), 2);
}

// P39: a POST whose bytes went out is not sent a second time.
TEST(Retry, NeverHappensOnceTheBackendMayHaveSeenTheRequest) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write(kKeepAliveAnswer);
    peer.ReadRequest();  // and closes without an answer
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, OneWorker());
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.status(), 502);
  EXPECT_EQ(answer.Field("X-TAO-Error"), "upstream_reset");
  EXPECT_EQ(answer.Field("x-should-retry"), std::nullopt) << "left to the client";
  EXPECT_EQ(upstream.connections(), 1);
}

TEST(Reuse, ServiceAtANewAddressGetsNewConnections) {
  const FakeUpstream::Script keep_alive = [](FakeUpstream::Peer& peer) {
    while (peer.ReadRequest().whole) peer.Write(kKeepAliveAnswer);
  };
  FakeUpstream before(keep_alive);
  FakeUpstream after(keep_alive);
  GatewayHarness harness({ServiceAt(before.port())}, OneWorker());
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  harness.Publish({ServiceAt(after.port())});
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_EQ(before.connections(), 1);
  EXPECT_EQ(after.connections(), 1);
}

TEST(Listening, AddressInUseIsRefusedWithAdvice) {
  GatewayHarness harness({});
  GatewayConfig config;
  config.listen = harness.gateway->address();
  const auto second = Gateway::Start(config, nullptr);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(second.status().message());
  EXPECT_NE(message.find(config.listen), std::string::npos) << message;
  EXPECT_NE(message.find("--gateway-listen"), std::string::npos) << message;
  for (const char* bad : {"", "8000", "127.0.0.1:", "127.0.0.1:70000", "::1:8000", "a b:1"}) {
    config.listen = bad;
    EXPECT_EQ(Gateway::Start(config, nullptr).status().code(), absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

}  // namespace
}  // namespace tao::gateway
