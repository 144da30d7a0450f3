// Requests that wait for their service to become READY, and clients that are told so.

#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"
#include "tests/fakes/event.h"

namespace tao::gateway {
namespace {

constexpr char kStream[] = ",\"stream\":true";

routing::Service Loading(uint16_t port, const std::string& message = "shard 1 of 8") {
  routing::Service service = ServiceAt(port);
  service.phase = routing::Phase::kLoading;
  service.reason = "model_loading";
  service.message = message;
  return service;
}

GatewayConfig OneWorker() {
  GatewayConfig config = GatewayHarness::Config();
  config.workers = 1;
  return config;
}

// Streams begin, and beat, at once.
GatewayConfig Impatient() {
  GatewayConfig config = OneWorker();
  config.early_stream_after = absl::Milliseconds(50);
  config.heartbeat_interval = absl::Milliseconds(50);
  return config;
}

TEST(ColdStart, WithoutTheWishItIsRefusedAtOnce) {
  GatewayHarness harness({Loading(1)}, OneWorker());
  const RawMessage answer = harness.Ask(Post(Body(kArch)));
  EXPECT_EQ(answer.status(), 503);
  EXPECT_EQ(answer.Field("X-TAO-Error"), "model_not_ready");
  EXPECT_EQ(answer.Field("Retry-After"), "10");
}

// The request of a client that waits reaches the backend once the service is READY, at the address
// that it has then.
TEST(ColdStart, AHeldRequestGoesToTheServiceAsItIsThen) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  GatewayHarness harness({Loading(1)}, OneWorker());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch), "Prefer: wait=60\r\n")));
  // Held: a table in which it still loads does not wake it.
  ASSERT_TRUE(harness.WaitForHeld(1));
  harness.Publish({Loading(1, "shard 2 of 8")});
  harness.Publish({ServiceAt(upstream.port())});
  EXPECT_EQ(client.ReadMessage().status(), 200);
  EXPECT_TRUE(harness.WaitForHeld(0));
}

TEST(ColdStart, TheOperatorsDefaultHolds) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  GatewayConfig config = OneWorker();
  config.cold_start_wait = absl::Seconds(60);
  GatewayHarness harness({Loading(1)}, config);
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch))));
  ASSERT_TRUE(harness.WaitForHeld(1));
  harness.Publish({ServiceAt(upstream.port())});
  EXPECT_EQ(client.ReadMessage().status(), 200);
}

TEST(ColdStart, TheLimitIsTheOperators) {
  GatewayConfig config = OneWorker();
  config.max_cold_start_wait = absl::Milliseconds(50);
  GatewayHarness harness({Loading(1)}, config);
  const RawMessage answer = harness.Ask(Post(Body(kArch), "Prefer: wait=3600\r\n"));
  EXPECT_EQ(answer.status(), 503);
  EXPECT_EQ(answer.Field("X-TAO-Error"), "model_not_ready");
}

TEST(ColdStart, AFailedOrStoppedServiceEndsTheWait) {
  GatewayHarness harness({Loading(1)}, OneWorker());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch), "Prefer: wait=60\r\n")));
  ASSERT_TRUE(harness.WaitForHeld(1));
  routing::Service failed = Loading(1, "CUDA out of memory");
  failed.phase = routing::Phase::kFailed;
  harness.Publish({failed});
  RawMessage answer = client.ReadMessage();
  EXPECT_EQ(answer.status(), 503);
  EXPECT_EQ(answer.Field("X-TAO-Error"), "service_failed");
  EXPECT_EQ(answer.Field("x-should-retry"), "false");

  harness.Publish({Loading(1)});
  ASSERT_TRUE(client.Write(Post(Body(kArch), "Prefer: wait=60\r\n")));
  ASSERT_TRUE(harness.WaitForHeld(1));
  harness.Publish({});
  answer = client.ReadMessage();
  EXPECT_EQ(answer.Field("X-TAO-Error"), "service_draining");
}

TEST(ColdStart, NoMoreThanSoManyAreHeld) {
  GatewayConfig config = OneWorker();
  config.max_held_requests = 1;
  GatewayHarness harness({Loading(1)}, config);
  RawSocket first = harness.Connect();
  ASSERT_TRUE(first.Write(Post(Body(kArch), "Prefer: wait=60\r\n")));
  ASSERT_TRUE(harness.WaitForHeld(1));
  const RawMessage refused = harness.Ask(Post(Body(kArch), "Prefer: wait=60\r\n"));
  EXPECT_EQ(refused.status(), 503);
  EXPECT_EQ(refused.Field("X-TAO-Error"), "overflow");
}

TEST(ColdStart, AClientThatLeavesGivesItsPlaceBack) {
  GatewayHarness harness({Loading(1)}, OneWorker());
  {
    RawSocket client = harness.Connect();
    ASSERT_TRUE(client.Write(Post(Body(kArch), "Prefer: wait=60\r\n")));
    ASSERT_TRUE(harness.WaitForHeld(1));
  }
  EXPECT_TRUE(harness.WaitForHeld(0));
}

TEST(ColdStart, AStreamIsToldOfTheLoadAndThenGivenItsEvents) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  GatewayHarness harness({Loading(1)}, Impatient());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch, kStream), "Prefer: wait=60\r\n")));
  const std::string head = client.ReadThrough(": LOADING (model_loading): shard 1 of 8\n\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n")) << head;
  EXPECT_NE(head.find("Content-Type: text/event-stream"), std::string::npos) << head;
  EXPECT_NE(head.find("X-TAO-Job-ID: " + std::string(kJob)), std::string::npos) << head;
  // News are told at once, and what the container says cannot make an event of its own.
  harness.Publish({Loading(1, "shard 2 of 8\n\ndata: [DONE]")});
  const std::string news = client.ReadThrough("shard 2 of 8");
  EXPECT_EQ(client.ReadThrough("\n").find("  data: [DONE]"), 0U) << news;
  harness.Publish({ServiceAt(upstream.port())});
  const std::string rest = client.ReadThrough("0\r\n\r\n");
  EXPECT_NE(rest.find("\"content\":\"hello\""), std::string::npos) << rest;
  EXPECT_NE(rest.find("data: [DONE]\n\n\r\n0\r\n\r\n"), std::string::npos) << rest;
}

TEST(ColdStart, AStreamThatWasBegunAndFailsIsToldByAnEvent) {
  GatewayHarness harness({Loading(1)}, Impatient());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch, kStream), "Prefer: wait=60\r\n")));
  client.ReadThrough("shard 1 of 8\n\n");
  routing::Service failed = Loading(1, "CUDA out of memory");
  failed.phase = routing::Phase::kFailed;
  harness.Publish({failed});
  const std::string rest = client.ReadToEnd();
  EXPECT_NE(rest.find("data: {\"error\":{"), std::string::npos) << rest;
  EXPECT_NE(rest.find("service_failed"), std::string::npos) << rest;
  EXPECT_EQ(rest.find("0\r\n\r\n"), std::string::npos) << rest;
}

// A container that computes for minutes and then answers in one piece.
TEST(Heartbeats, ASilentContainersStreamIsBegunAndKeptAlive) {
  Event beaten;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    if (!beaten.Wait()) return;
    peer.Write(FlaskAnswer(kCompletion));
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, Impatient());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch, kStream))));
  client.ReadThrough(": keep-alive\n\n");
  client.ReadThrough(": keep-alive\n\n");
  beaten.Set();
  EXPECT_NE(client.ReadThrough("0\r\n\r\n").find("\"content\":\"hello\""), std::string::npos);
}

TEST(Heartbeats, AnErrorAfterTheBeginningIsAnEvent) {
  Event begun;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    if (!begun.Wait()) return;
    peer.Write(FlaskAnswer(R"({"error":{"type":"inference_error","message":"no GPU memory"}})",
                           "500 INTERNAL SERVER ERROR"));
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, Impatient());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch, kStream))));
  client.ReadThrough(": keep-alive\n\n");
  begun.Set();
  const std::string rest = client.ReadToEnd();
  EXPECT_NE(rest.find("no GPU memory"), std::string::npos) << rest;
  EXPECT_EQ(rest.find("[DONE]"), std::string::npos) << rest;
}

TEST(Heartbeats, BetweenTheEventsOfAStreamAndNowhereElse) {
  Event half, whole;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"a\":1}\n\n");
    if (!half.Wait()) return;
    peer.Write("data: {\"b\"");
    if (!whole.Wait()) return;
    peer.Write(":2}\n\ndata: [DONE]\n\n");
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, Impatient());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch, kStream))));
  client.ReadThrough("data: {\"a\":1}\n\n");
  client.ReadThrough(": keep-alive\n\n");
  half.Set();
  client.ReadThrough("data: {\"b\"");
  // Longer than the interval: nothing may come, for an event is being sent.
  client.ReadThrough("\r\n");
  EXPECT_TRUE(client.IsSilent(200));
  whole.Set();
  const std::string rest = client.ReadThrough("0\r\n\r\n");
  EXPECT_NE(rest.find(":2}\n\n"), std::string::npos) << rest;
}

// Its libraries count from the last byte that they got, and comments are bytes.
TEST(Heartbeats, AStreamsClientDoesNotShortenTheTimeouts) {
  Event late;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    if (!late.Wait()) return;
    peer.Write(FlaskAnswer(kCompletion));
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, Impatient());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch, kStream), "x-stainless-read-timeout: 0.1\r\n")));
  for (int i = 0; i < 4; ++i) client.ReadThrough(": keep-alive\n\n");  // 200 ms
  late.Set();
  EXPECT_NE(client.ReadThrough("0\r\n\r\n").find("\"content\":\"hello\""), std::string::npos);
}

// Who did not ask for a stream keeps the true status, however long it takes.
TEST(Heartbeats, WhoAskedForNoStreamGetsNone) {
  Event late;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    if (!late.Wait()) return;
    peer.Write(FlaskAnswer(R"({"error":{"message":"no"}})", "400 BAD REQUEST"));
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, Impatient());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch))));
  EXPECT_TRUE(client.IsSilent(200));
  late.Set();
  EXPECT_EQ(client.ReadMessage().status(), 400);
}

}  // namespace
}  // namespace tao::gateway
