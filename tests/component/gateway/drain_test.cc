// How the gateway and single services come to their end.

#include <gtest/gtest.h>

#include <thread>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

const std::string kSseHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

// Answers when it is told to; or not, and sees itself cut.
class SlowService {
 public:
  explicit SlowService(std::string first = "")
      : upstream([this, first](FakeUpstream::Peer& peer) {
          if (!peer.ReadRequest().whole) return;
          if (!first.empty()) peer.Write(first);
          asked.Set();
          if (!first.empty() || cut_is_wanted) {
            if (peer.WaitForEnd()) cut.Set();
          } else if (answer.Wait()) {
            peer.Write(FlaskAnswer("{}"));
          }
        }) {}

  Event asked;
  Event answer;
  Event cut;
  std::atomic<bool> cut_is_wanted = false;
  FakeUpstream upstream;
};

TEST(Drain, ExchangesEndAndIdleConnectionsClose) {
  SlowService slow;
  GatewayHarness harness({ServiceAt(slow.upstream.port())});
  RawSocket idle = harness.Connect();
  idle.Write(Get("/livez"));
  EXPECT_EQ(idle.ReadMessage().status(), 200);
  RawSocket busy = harness.Connect();
  busy.Write(Post(Body(kArch)) + Get("/readyz"));
  EXPECT_TRUE(slow.asked.Wait());
  EXPECT_EQ(harness.gateway->InFlight(kJob), 1);

  std::thread drain([&] { harness.gateway->Drain(absl::Seconds(5)); });
  EXPECT_TRUE(idle.WaitForEnd()) << "an idle connection is closed at once";
  slow.answer.Set();
  const RawMessage answer = busy.ReadMessage();
  EXPECT_EQ(answer.status(), 200);
  EXPECT_EQ(answer.Field("Connection"), "close");
  busy.Close();
  drain.join();
  EXPECT_FALSE(harness.Connect().is_open()) << "nobody listens any more";
  EXPECT_EQ(harness.gateway->InFlight(kJob), 0);
}

TEST(Drain, ReadinessFallsFirst) {
  GatewayConfig config = GatewayHarness::Config();
  config.drain_notice = absl::Seconds(1);
  GatewayHarness harness({}, config);
  std::thread drain([&] { harness.gateway->Drain(absl::Seconds(5)); });
  int status = 200;
  RawSocket client = harness.Connect();
  while (status == 200) {
    client.Write(Get("/readyz"));
    status = client.ReadMessage().status();
  }
  EXPECT_EQ(status, 503);
  EXPECT_TRUE(harness.Connect().is_open()) << "new connections are still taken";
  client.Close();
  drain.join();
}

TEST(Drain, WhatOutlastsTheLimitIsCutAndTold) {
  const struct {
    std::string first;  // of the answer
    int status;
  } rows[] = {{"", 503}, {kSseHead + "f\r\ndata: {\"a\":1}\n\n\r\n", 200}};
  for (const auto& row : rows) {
    SlowService slow(row.first);
    slow.cut_is_wanted = true;
    GatewayHarness harness({ServiceAt(slow.upstream.port())});
    RawSocket client = harness.Connect();
    client.Write(Post(Body(kArch)));
    EXPECT_TRUE(slow.asked.Wait());
    RawMessage answer;
    std::thread reader([&] {
      answer = client.ReadMessage();
      client.Close();
    });
    harness.gateway->Drain(absl::Milliseconds(100));
    reader.join();
    EXPECT_EQ(answer.status(), row.status);
    EXPECT_NE(answer.body.find("\"code\":\"gateway_shutdown\""), std::string::npos) << answer.body;
    EXPECT_EQ(answer.whole, row.status == 503);
    EXPECT_TRUE(slow.cut.Wait());
  }
}

// A client that neither reads nor leaves cannot hold the gateway up.
TEST(Drain, EndsThoughAClientIsStuck) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n");
    while (peer.Write(std::string(65536, 'x'))) {
    }
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket stuck = harness.Connect();
  stuck.Write(Post(Body(kArch)));
  stuck.ReadThrough("\r\n\r\n");
  RawSocket half = harness.Connect();
  half.Write("POST /v1/chat/completions HTTP/1.1\r\n");
  harness.gateway->Drain(absl::Milliseconds(50));
}

TEST(CutExchanges, EndsThoseOfOneServiceOnly) {
  SlowService stopped;
  SlowService other;
  stopped.cut_is_wanted = true;
  GatewayHarness harness({ServiceAt(stopped.upstream.port(), kJob, "a"),
                          ServiceAt(other.upstream.port(), kOtherJob, "b")});
  RawSocket client = harness.Connect();
  client.Write(Post(Body("a")));
  RawSocket bystander = harness.Connect();
  bystander.Write(Post(Body("b")));
  EXPECT_TRUE(stopped.asked.Wait());
  EXPECT_TRUE(other.asked.Wait());
  EXPECT_EQ(harness.gateway->InFlight(kJob), 1);

  harness.gateway->CutExchanges(kJob);
  const RawMessage answer = client.ReadMessage();
  EXPECT_EQ(answer.status(), 503);
  EXPECT_EQ(answer.Field("X-TAO-Error"), "service_draining");
  EXPECT_TRUE(stopped.cut.Wait());
  while (harness.gateway->InFlight(kJob) > 0) std::this_thread::yield();
  EXPECT_EQ(harness.gateway->InFlight(kOtherJob), 1);
  other.answer.Set();
  EXPECT_EQ(bystander.ReadMessage().status(), 200);
}

// Stop relies on it: with DRAINING published and nothing in flight, nothing new is sent, not even a
// request whose body was being read at that moment.
TEST(Draining, ReachesRequestsThatAreBeingRead) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  routing::Service service = ServiceAt(upstream.port());
  GatewayHarness harness({service});
  const std::string request = Post(Body(kArch));
  RawSocket client = harness.Connect();
  client.Write(Get("/livez") + request.substr(0, request.size() - 1));
  EXPECT_EQ(client.ReadMessage().status(), 200);
  service.phase = routing::Phase::kDraining;
  harness.Publish({service});
  client.Write(request.substr(request.size() - 1));
  EXPECT_EQ(client.ReadMessage().Field("X-TAO-Error"), "service_draining");
  EXPECT_EQ(upstream.connections(), 0);
}

}  // namespace
}  // namespace tao::gateway
