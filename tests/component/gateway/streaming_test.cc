// Bodies and answers that are larger than any buffer, and clients that leave at every point.

#include <absl/strings/str_format.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

constexpr size_t kMiB = 1024 * 1024;
constexpr size_t kLarge = 64 * kMiB;

// A chat completion of exactly `bytes` bytes, its model last.
std::string LargeBody(size_t bytes, const std::string& model = "gpt-4") {
  const std::string begin = R"({"messages":[{"role":"user","content":")";
  const std::string end = R"("}],"model":")" + model + R"("})";
  return begin + std::string(bytes - begin.size() - end.size(), 'x') + end;
}

std::string HeadFor(const std::string& fields) {
  return "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n" +
         fields + "\r\n";
}

std::string InChunks(std::string_view body, size_t chunk_bytes) {
  std::string out;
  while (!body.empty()) {
    const std::string_view chunk = body.substr(0, chunk_bytes);
    char size[32];
    std::snprintf(size, sizeof(size), "%zx\r\n", chunk.size());
    out.append(size).append(chunk).append("\r\n");
    body.remove_prefix(chunk.size());
  }
  return out + "0\r\n\r\n";
}

TEST(LargeRequest, FlowsThroughWhileItIsSent) {
  Event has_first_mib;
  bool whole = false;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    EXPECT_EQ(peer.ReadBytes(kMiB).size(), kMiB);
    has_first_mib.Set();
    whole = peer.ReadBytes(kLarge - kMiB).size() == kLarge - kMiB;
    peer.Write(FlaskAnswer("{}"));
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  const std::string body = LargeBody(kLarge);
  RawSocket client = harness.Connect();
  client.Write(HeadFor(HeaderFor(kJob) + "Content-Length: " + std::to_string(kLarge) + "\r\n"));
  ASSERT_TRUE(client.Write(std::string_view(body).substr(0, kLarge - 1)));
  EXPECT_TRUE(has_first_mib.Wait());
  client.Write(std::string_view(body).substr(kLarge - 1));
  EXPECT_EQ(client.ReadMessage().status(), 200);
  EXPECT_TRUE(whole);
}

TEST(LargeRequest, ArrivesUnchangedFromChunks) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    const RawMessage request = peer.ReadRequest();
    EXPECT_EQ(request.Field("Content-Length"), std::nullopt);
    peer.Write(FlaskAnswer(std::to_string(std::hash<std::string>()(request.body))));
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  for (const size_t chunk_bytes : {size_t{1000}, size_t{65536}, 3 * kMiB}) {
    const std::string body = LargeBody(2 * kMiB);
    const RawMessage answer = harness.Ask(
        HeadFor(HeaderFor(kJob) + "Transfer-Encoding: chunked\r\n") + InChunks(body, chunk_bytes));
    EXPECT_EQ(answer.body, std::to_string(std::hash<std::string>()(body)));
  }
}

TEST(LargeAnswer, FlowsThroughWhileItIsSent) {
  Event has_first_mib;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
               std::to_string(kLarge) + "\r\n\r\n");
    const std::string piece(kMiB, 'y');
    EXPECT_TRUE(peer.Write(piece));
    EXPECT_TRUE(has_first_mib.Wait());
    for (size_t sent = kMiB; sent < kLarge; sent += kMiB) EXPECT_TRUE(peer.Write(piece));
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch)));
  client.ReadThrough("\r\n\r\n");
  EXPECT_EQ(client.ReadBytes(kMiB).size(), kMiB);
  has_first_mib.Set();
  EXPECT_EQ(client.ReadBytes(kLarge - kMiB).size(), kLarge - kMiB);
}

// Back-pressure: what a client does not read is not taken from the backend.
TEST(LargeAnswer, IsNotCollectedForAClientThatDoesNotRead) {
  Event stalled;
  std::atomic<size_t> sent = 0;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
               std::to_string(size_t{1} << 30) + "\r\n\r\n");
    const timeval limit = {0, 200000};  // no progress for so long: the gateway has stopped reading
    ::setsockopt(peer.socket().fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    const std::string piece(64 * 1024, 'y');
    while (peer.Write(piece)) sent += piece.size();
    stalled.Set();
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch)));
  EXPECT_TRUE(stalled.Wait());
  EXPECT_LT(sent.load(), 64 * kMiB) << "the kernel's buffers, not ours";
}

TEST(HeldBody, IsHeldUntilItsModelIsKnownAndThenFlows) {
  Event has_begun;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    peer.ReadBytes(100 * 1024);
    has_begun.Set();
    peer.ReadBytes(kMiB - 100 * 1024);
    peer.Write(FlaskAnswer("{}"));
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  const std::string rest = LargeBody(kMiB - 20).substr(1);
  const std::string body =
      R"({"model":"cosmos-rl",)" + rest.substr(0, rest.rfind(",\"model")) + "}";
  RawSocket client = harness.Connect();
  client.Write(HeadFor("Content-Length: " + std::to_string(body.size()) + "\r\n"));
  client.Write(std::string_view(body).substr(0, body.size() / 2));
  EXPECT_TRUE(has_begun.Wait());
  client.Close();
}

// As Python's OpenAI library sends it: the service is known at the very end.
// Asks until there is room: an exchange gives its own back when it ends, which may be after its
// client has read the answer.
int StatusWithRoom(GatewayHarness& harness, const std::string& request) {
  const absl::Time limit = absl::Now() + kTestLimit;
  int status = 507;
  while (status == 507 && absl::Now() < limit) status = harness.Ask(request).status();
  return status;
}

TEST(KeptBody, LargeOnesRoutedByTheirEndArriveAsTheyWere) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    const RawMessage request = peer.ReadRequest();
    if (request.whole)
      peer.Write(FlaskAnswer(std::to_string(std::hash<std::string>()(request.body))));
  });
  GatewayHarness harness({ServiceAt(upstream.port()), ServiceAt(1, kOtherJob, "other")});
  const size_t sizes[] = {kMiB - 100, kMiB, kMiB + 1, 9 * kMiB + 12345};
  for (const size_t size : sizes) {
    const std::string body = LargeBody(size, std::string(kArch));
    const std::string hash = std::to_string(std::hash<std::string>()(body));
    EXPECT_EQ(harness.Ask(Post(body)).body, hash) << size;
    // Without a length: kept to its end, and sent with one.
    RawSocket client = harness.Connect();
    client.Write(HeadFor("Transfer-Encoding: chunked\r\n"));
    for (std::string_view rest = body; !rest.empty();) {
      const std::string_view chunk = rest.substr(0, 100'000);
      client.Write(absl::StrFormat("%x\r\n", chunk.size()));
      client.Write(chunk);
      client.Write("\r\n");
      rest.remove_prefix(chunk.size());
    }
    client.Write("0\r\n\r\n");
    EXPECT_EQ(client.ReadMessage().body, hash) << size;
  }
}

// The part that was kept goes first, what came since follows.
TEST(KeptBody, AModelInTheMiddleLetsTheRestPassThrough) {
  Event begun;
  size_t received = 0;
  const std::string body = R"({"messages":[")" + std::string(3 * kMiB, 'a') +
                           R"("],"model":"cosmos-rl","more":")" + std::string(3 * kMiB, 'b') +
                           "\"}";
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    received = peer.ReadBytes(3 * kMiB).size();
    begun.Set();
    if (peer.ReadBytes(body.size() - received) == body.substr(received))
      peer.Write(FlaskAnswer("{}"));
  });
  GatewayHarness harness({ServiceAt(upstream.port()), ServiceAt(1, kOtherJob, "other")});
  RawSocket client = harness.Connect();
  client.Write(HeadFor("Content-Length: " + std::to_string(body.size()) + "\r\n"));
  client.Write(std::string_view(body).substr(0, 4 * kMiB));
  ASSERT_TRUE(begun.Wait()) << "nothing is sent on before the whole body is there";
  client.Write(std::string_view(body).substr(4 * kMiB));
  EXPECT_EQ(client.ReadMessage().status(), 200);
}

TEST(KeptBody, OneWithoutRoomIsRefusedBeforeItIsRead) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayConfig config = GatewayHarness::Config();
  config.spool.max_bytes = 2 * kMiB;
  GatewayHarness harness({ServiceAt(upstream.port()), ServiceAt(1, kOtherJob, "other")}, config);
  RawSocket client = harness.Connect();
  client.Write(HeadFor("Content-Length: " + std::to_string(3 * kMiB) + "\r\n"));
  const RawMessage refused = client.ReadMessage();
  EXPECT_EQ(refused.status(), 507);
  EXPECT_EQ(refused.Field("X-TAO-Error"), "spool_full");
  EXPECT_NE(refused.body.find("X-TAO-Job-ID"), std::string::npos) << refused.body;

  // Without a length it shows when it happens; and what is there is given back.
  const std::string body = LargeBody(3 * kMiB, std::string(kArch));
  RawSocket chunked = harness.Connect();
  chunked.Write(HeadFor("Transfer-Encoding: chunked\r\n"));
  chunked.Write(absl::StrFormat("%x\r\n", body.size()));
  chunked.Write(body);
  EXPECT_EQ(chunked.ReadMessage().status(), 507);
  EXPECT_EQ(StatusWithRoom(harness, Post(LargeBody(2 * kMiB, std::string(kArch)))), 200);
  // Who names the service keeps nothing.
  EXPECT_EQ(harness.Ask(Post(body, HeaderFor(kJob))).status(), 200);
}

TEST(KeptBody, BeyondTheMemoryOfAllItGoesToAFileAtOnce) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayConfig config = GatewayHarness::Config();
  config.spool.max_memory = 0;
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  EXPECT_EQ(harness.Ask(Post(LargeBody(300 * 1024, std::string(kArch)))).status(), 200);
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
}

TEST(KeptBody, AClientThatLeavesInTheMiddleGivesItsRoomBack) {
  GatewayConfig config = GatewayHarness::Config();
  config.spool.max_bytes = 3 * kMiB;
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({ServiceAt(upstream.port()), ServiceAt(1, kOtherJob, "other")}, config);
  const std::string body = LargeBody(3 * kMiB, std::string(kArch));
  {
    RawSocket client = harness.Connect();
    client.Write(HeadFor("Content-Length: " + std::to_string(body.size()) + "\r\n"));
    client.Write(std::string_view(body).substr(0, 2 * kMiB));
  }
  EXPECT_EQ(StatusWithRoom(harness, Post(body)), 200);
}

TEST(KeptBody, TheFolderMustBeOnADisk) {
  const struct {
    std::string folder;
    std::string says;
  } rows[] = {{"/no/such/folder", "--spool-dir"}, {"/dev/shm", "--allow-tmpfs-spool"}};
  for (const auto& row : rows) {
    GatewayConfig config = GatewayHarness::Config();
    config.spool.folder = row.folder;
    const auto started = Gateway::Start(config, nullptr);
    ASSERT_FALSE(started.ok());
    EXPECT_NE(started.status().message().find(row.says), std::string::npos) << started.status();
  }
}

// The last byte waits for the verdict: the backend never has a whole request that was refused.
TEST(BadVerdict, AfterBytesWereSentClosesTheUpstream) {
  std::atomic<bool> got_all = false;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    if (peer.socket().ReadToEnd().size() == kMiB) got_all = true;
  });
  GatewayHarness harness({ServiceAt(upstream.port()), ServiceAt(1, kOtherJob, "other")});
  std::string broken = LargeBody(kMiB);
  broken.back() = ']';
  const std::string conflicting = LargeBody(kMiB, std::string(kOtherJob));
  const struct {
    std::string body;
    std::string token;
  } rows[] = {{broken, "bad_request"}, {conflicting, "selector_conflict"}};
  for (const auto& row : rows) {
    const RawMessage answer = harness.Ask(Post(row.body, HeaderFor(kJob)));
    EXPECT_EQ(answer.status(), 400) << answer.head;
    EXPECT_EQ(answer.Field("X-TAO-Error"), row.token);
  }
  while (upstream.finished() < 2) std::this_thread::yield();
  EXPECT_FALSE(got_all);
  EXPECT_TRUE(harness.failures.job_ids().empty()) << "the service did nothing wrong";
}

// U08: the backend does not want the rest.
TEST(EarlyAnswer, IsRelayedAndTheConnectionCloses) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    peer.Write(FlaskAnswer(R"({"error":{"message":"too large","type":"x"}})", "413 TOO LARGE"));
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  client.Write(HeadFor(HeaderFor(kJob) + "Content-Length: " + std::to_string(kLarge) + "\r\n"));
  const std::string body = LargeBody(kLarge);
  client.Write(std::string_view(body).substr(0, 4 * kMiB));
  const RawMessage answer = client.ReadMessage();
  EXPECT_EQ(answer.status(), 413);
  EXPECT_NE(answer.body.find("too large"), std::string::npos);
  EXPECT_EQ(answer.Field("Connection"), "close");
}

// Where the client is when it leaves.
enum class Phase { kUploading, kStalledUpload, kAwaitingHead, kInAnswer, kStalledAnswer };
enum class Leaving { kFin, kReset };

struct LeavingCase {
  std::string name;
  Phase phase;
  Leaving leaving;
};
class ClientLeavesTest : public testing::TestWithParam<LeavingCase> {};

TEST_P(ClientLeavesTest, UpstreamIsClosedAtOnce) {
  const Phase phase = GetParam().phase;
  Event there;
  Event cancelled;
  Event release;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadHead();
    const bool uploading = phase == Phase::kUploading || phase == Phase::kStalledUpload;
    peer.ReadBytes(uploading ? 70 * 1024 : Body(kArch).size());
    const std::string head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n";
    if (phase == Phase::kInAnswer) peer.Write(head + "begun");
    if (phase == Phase::kStalledAnswer) {
      const std::string piece(kMiB, 'y');
      peer.Write(head);
      const timeval limit = {0, 200000};
      ::setsockopt(peer.socket().fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
      while (peer.Write(piece)) {
      }
    }
    there.Set();
    EXPECT_TRUE(phase != Phase::kStalledUpload || release.Wait());  // does not read before
    if (peer.WaitForEnd()) cancelled.Set();
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  std::thread sender;
  if (phase == Phase::kUploading || phase == Phase::kStalledUpload) {
    client.Write(HeadFor(HeaderFor(kJob) + "Content-Length: 1000000000\r\n"));
    client.Write(LargeBody(kMiB).substr(0, 80 * 1024));
    EXPECT_TRUE(there.Wait());
    if (phase == Phase::kStalledUpload) {
      // Until nobody takes anything any more: the FIN then stands behind bytes that are not read.
      const timeval limit = {0, 200000};
      ::setsockopt(client.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
      while (client.Write(std::string(kMiB, 'x'))) {
      }
    }
  } else {
    client.Write(Post(Body(kArch)));
    EXPECT_TRUE(there.Wait());
  }
  if (GetParam().leaving == Leaving::kFin) {
    client.ShutdownWrite();
  } else {
    client.Reset();
  }
  release.Set();
  EXPECT_TRUE(cancelled.Wait());
  while (harness.gateway->InFlight(kJob) > 0) std::this_thread::yield();
  EXPECT_TRUE(harness.failures.job_ids().empty()) << "the service did nothing wrong";
}

INSTANTIATE_TEST_SUITE_P(Phases, ClientLeavesTest,
                         testing::ValuesIn<LeavingCase>({
                             {"UploadingFin", Phase::kUploading, Leaving::kFin},
                             {"UploadingReset", Phase::kUploading, Leaving::kReset},
                             {"StalledUploadFin", Phase::kStalledUpload, Leaving::kFin},
                             {"StalledUploadReset", Phase::kStalledUpload, Leaving::kReset},
                             {"AwaitingHeadFin", Phase::kAwaitingHead, Leaving::kFin},
                             {"AwaitingHeadReset", Phase::kAwaitingHead, Leaving::kReset},
                             {"InAnswerFin", Phase::kInAnswer, Leaving::kFin},
                             {"InAnswerReset", Phase::kInAnswer, Leaving::kReset},
                             {"StalledAnswerFin", Phase::kStalledAnswer, Leaving::kFin},
                             {"StalledAnswerReset", Phase::kStalledAnswer, Leaving::kReset},
                         }),
                         [](const auto& row) { return row.param.name; });

// With pipelined requests behind it, too: no read would show the FIN.
TEST(ClientLeaves, BehindPipelinedRequests) {
  Event there;
  Event cancelled;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    there.Set();
    if (peer.WaitForEnd()) cancelled.Set();
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch)));
  EXPECT_TRUE(there.Wait());
  client.Write(Post(Body(kArch)) + Post(Body(kArch)));
  client.Close();
  EXPECT_TRUE(cancelled.Wait());
}

}  // namespace
}  // namespace tao::gateway
