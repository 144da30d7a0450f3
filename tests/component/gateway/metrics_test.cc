// The admin listener, what it counts, Server-Timing, and the access log's file.

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/component/gateway/gateway_harness.h"
#include "tests/fakes/event.h"

namespace tao::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

GatewayConfig WithAdmin() {
  GatewayConfig config = GatewayHarness::Config();
  config.admin_listen = "127.0.0.1:0";
  return config;
}

RawMessage AskAdmin(const GatewayHarness& harness, const std::string& request) {
  RawSocket client = RawSocket::Connect(harness.gateway->admin_port());
  client.Write(request);
  return client.ReadMessage(!request.starts_with("HEAD"));
}

std::string Scrape(const GatewayHarness& harness) {
  return AskAdmin(harness, Get("/metrics")).body;
}

// The sample whose line begins with `series`; -1 when there is none.
double Value(const std::string& text, const std::string& series) {
  const std::string line = "\n" + series + " ";
  const size_t at = text.find(line);
  return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + line.size(), nullptr);
}

// An answer may be at the client before its exchange is counted. False after the limit.
bool WaitFor(const GatewayHarness& harness, const std::string& series, double value) {
  const absl::Time limit = absl::Now() + kTestLimit;
  while (Value(Scrape(harness), series) != value) {
    if (absl::Now() > limit) return false;
  }
  return true;
}

const std::string kLabels =
    "{job_id=\"" + std::string(kJob) + "\",network_arch=\"" + std::string(kArch) + "\"";

std::string Requests(const std::string& code, const std::string& token) {
  return "tao_gateway_requests_total" + kLabels + ",code=\"" + code + "\",token=\"" + token + "\"}";
}
std::string Broken(const std::string& stage, const std::string& by) {
  return "tao_gateway_broken_exchanges_total" + kLabels + ",stage=\"" + stage + "\",closed_by=\"" +
         by + "\"}";
}

TEST(AdminTest, ServesItsThreePathsAndNothingElse) {
  GatewayHarness harness({}, WithAdmin());
  const RawMessage metrics = AskAdmin(harness, Get("/metrics"));
  EXPECT_EQ(metrics.status(), 200);
  EXPECT_EQ(metrics.Field("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(AskAdmin(harness, Get("/livez")).status(), 200);
  EXPECT_EQ(AskAdmin(harness, Get("/readyz")).status(), 200);
  EXPECT_EQ(AskAdmin(harness, "HEAD /metrics HTTP/1.1\r\nHost: g\r\n\r\n").status(), 200);
  for (const char* const path : {"/", "/v1/models", "/metrics/", "/v1/chat/completions"}) {
    EXPECT_EQ(AskAdmin(harness, Get(path)).status(), 404) << path;
  }
  const RawMessage posted = AskAdmin(harness, Post("{}", "", "/metrics"));
  EXPECT_EQ(posted.status(), 405);
  EXPECT_EQ(posted.Field("Allow"), "GET, HEAD");
  EXPECT_EQ(AskAdmin(harness, "GET /metrics\r\n\r\n").status(), 400);
  // Not on the clients' side.
  EXPECT_EQ(harness.Ask(Get("/metrics")).status(), 404);
}

TEST(AdminTest, KeepsItsConnection) {
  GatewayHarness harness({}, WithAdmin());
  RawSocket client = RawSocket::Connect(harness.gateway->admin_port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Write(Get("/metrics")));
    EXPECT_EQ(client.ReadMessage().status(), 200);
  }
}

TEST(AdminTest, AnswersWhileTheGatewayDrains) {
  Event asked;
  Event finish;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    asked.Set();
    EXPECT_TRUE(finish.Wait());
    peer.Write(FlaskAnswer(kCompletion));
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, WithAdmin());
  RawSocket client = harness.Connect();
  ASSERT_TRUE(client.Write(Post(Body(kArch))));
  ASSERT_TRUE(asked.Wait());
  harness.gateway->BeginDrain();
  EXPECT_EQ(AskAdmin(harness, Get("/readyz")).status(), 503);
  EXPECT_EQ(AskAdmin(harness, Get("/livez")).status(), 200);
  EXPECT_TRUE(WaitFor(harness, "tao_gateway_exchanges{stage=\"first_byte\"}", 1));
  finish.Set();
  EXPECT_EQ(client.ReadMessage().status(), 200);
}

TEST(AdminTest, AnAddressThatIsTakenNamesTheFlag) {
  GatewayHarness harness({}, WithAdmin());
  GatewayConfig config = GatewayHarness::Config();
  config.admin_listen = harness.gateway->admin_address();
  const auto second = Gateway::Start(config, nullptr);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              testing::AllOf(HasSubstr("admin listener"), HasSubstr("--admin-listen")));
}

TEST(MetricsTest, CountsAnAnswerWithItsBytesAndTimes) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    for (int i = 0; i < 2; ++i) {
      if (!peer.ReadRequest().whole) return;
      peer.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                 std::to_string(kCompletion.size()) + "\r\n\r\n" + kCompletion);
    }
  });
  GatewayConfig config = WithAdmin();
  config.workers = 1;  // the second request finds the first one's connection
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  const std::string body = Body(kArch);
  for (int i = 1; i <= 2; ++i) {
    EXPECT_EQ(harness.Ask(Post(body)).status(), 200);
    ASSERT_TRUE(WaitFor(harness, Requests("200", ""), i));
  }
  const std::string text = Scrape(harness);
  const double bytes = 2.0 * static_cast<double>(body.size());
  EXPECT_EQ(Value(text, "tao_gateway_request_body_bytes_total" + kLabels + "}"), bytes);
  EXPECT_EQ(Value(text, "tao_gateway_answer_body_bytes_total" + kLabels + "}"),
            2.0 * static_cast<double>(kCompletion.size()));
  for (const char* const name :
       {"tao_gateway_request_duration_seconds", "tao_gateway_time_to_first_byte_seconds"}) {
    EXPECT_EQ(Value(text, name + ("_count" + kLabels) + "}"), 2);
    EXPECT_GT(Value(text, name + ("_sum" + kLabels) + "}"), 0);
  }
  EXPECT_EQ(Value(text, "tao_gateway_overhead_seconds_count"), 2);
  EXPECT_LT(Value(text, "tao_gateway_overhead_seconds_sum"), 5);
  EXPECT_EQ(Value(text, "tao_gateway_upstream_connections_opened_total"), 1);
  EXPECT_EQ(Value(text, "tao_gateway_upstream_connections_reused_total"), 1);
  EXPECT_EQ(Value(text, "tao_gateway_client_connections_accepted_total"), 2);
  EXPECT_EQ(Value(text, "tao_gateway_exchanges_in_flight" + kLabels + "}"), 0);
  EXPECT_THAT(text, Not(HasSubstr("tao_gateway_broken_exchanges_total{")));
}

TEST(MetricsTest, CountsErrorsByTheirToken) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}", "500 Internal Server Error")));
  routing::Service refusing = ServiceAt(1, kOtherJob, "other");
  GatewayHarness harness({ServiceAt(upstream.port()), refusing}, WithAdmin());
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 500);
  EXPECT_TRUE(WaitFor(harness, Requests("500", ""), 1));
  EXPECT_EQ(harness.Ask(Post(Body("nobody"))).status(), 404);
  EXPECT_TRUE(WaitFor(harness,
                      "tao_gateway_requests_total{job_id=\"\",network_arch=\"\",code=\"404\","
                      "token=\"model_not_found\"}",
                      1));
  EXPECT_EQ(harness.Ask(Post(Body("other"))).status(), 502);
  const std::string other = "{job_id=\"" + std::string(kOtherJob) + "\",network_arch=\"other\"";
  EXPECT_TRUE(WaitFor(
      harness, "tao_gateway_requests_total" + other + ",code=\"502\",token=\"upstream_connect\"}",
      1));
  EXPECT_EQ(Value(Scrape(harness), "tao_gateway_broken_exchanges_total" + other +
                                       ",stage=\"connect\",closed_by=\"upstream\"}"),
            1);
  EXPECT_EQ(harness.Ask(Get("/v1/models")).status(), 200);
  EXPECT_EQ(Value(Scrape(harness),
                  "tao_gateway_other_requests_total{endpoint=\"models\",code=\"200\",token=\"\"}"),
            1);
  EXPECT_EQ(harness.Ask(Get("/nowhere")).status(), 404);
  EXPECT_EQ(Value(Scrape(harness),
                  "tao_gateway_other_requests_total{endpoint=\"none\",code="
                  "\"404\",token=\"bad_request\"}"),
            1);
}

TEST(MetricsTest, RequestsBeyondTheHeldOnesAreOverflow) {
  routing::Service loading = ServiceAt(1);
  loading.phase = routing::Phase::kLoading;
  GatewayConfig config = WithAdmin();
  config.max_held_requests = 1;
  GatewayHarness harness({loading}, config);
  RawSocket held = harness.Connect();
  ASSERT_TRUE(held.Write(Post(Body(kArch), "Prefer: wait=60\r\n")));
  ASSERT_TRUE(WaitFor(harness, "tao_gateway_exchanges{stage=\"held\"}", 1));
  EXPECT_EQ(harness.Ask(Post(Body(kArch), "Prefer: wait=60\r\n")).status(), 503);
  EXPECT_TRUE(WaitFor(harness, Requests("503", "overflow"), 1));
  EXPECT_EQ(Value(Scrape(harness), "tao_gateway_service_phase" + kLabels +
                                       ",platform=\"local-process\",phase=\"LOADING\"}"),
            1);
}

// A client that leaves is counted with how far its exchange had come.
TEST(MetricsTest, CountsClientsThatLeaveByStage) {
  Event answered;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    const RawMessage request = peer.ReadRequest();
    if (request.head.find("X-Begin") != std::string::npos) {
      peer.Write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nbegun");
      answered.Set();
    }
    peer.WaitForEnd();
  });
  routing::Service loading = ServiceAt(1, kOtherJob, "loading");
  loading.phase = routing::Phase::kLoading;
  GatewayHarness harness({ServiceAt(upstream.port()), loading}, WithAdmin());
  const auto leave = [&harness](const std::string& request, const std::string& stage) {
    RawSocket client = harness.Connect();
    client.Write(request);
    EXPECT_TRUE(WaitFor(harness, "tao_gateway_exchanges{stage=\"" + stage + "\"}", 1)) << stage;
  };
  const std::string half = Post(Body(kArch), HeaderFor(kJob));
  leave(half.substr(0, half.size() - 3), "body");
  EXPECT_TRUE(WaitFor(harness, Broken("body", "client"), 1));
  leave(Post(Body("loading"), "Prefer: wait=60\r\n"), "held");
  EXPECT_TRUE(WaitFor(harness,
                      "tao_gateway_broken_exchanges_total{job_id=\"" + std::string(kOtherJob) +
                          "\",network_arch=\"loading\",stage=\"held\",closed_by=\"client\"}",
                      1));
  leave(Post(Body(kArch)), "first_byte");
  EXPECT_TRUE(WaitFor(harness, Broken("first_byte", "client"), 1));
  leave(Post(Body(kArch), "X-Begin: 1\r\n"), "answer");
  EXPECT_TRUE(answered.Wait());
  EXPECT_TRUE(WaitFor(harness, Broken("answer", "client"), 1));
  EXPECT_EQ(Value(Scrape(harness), Requests("499", "")), 3);
}

// A backend that takes connections, but whose queue is full, leaves a client in `connect`.
TEST(MetricsTest, CountsAClientThatLeavesWhileItsBackendIsConnectedTo) {
  const int full = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(full, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(full, 0), 0);
  ::getsockname(full, reinterpret_cast<sockaddr*>(&address), &size);
  const RawSocket first = RawSocket::Connect(ntohs(address.sin_port));
  {
    GatewayHarness harness({ServiceAt(ntohs(address.sin_port))}, WithAdmin());
    RawSocket client = harness.Connect();
    ASSERT_TRUE(client.Write(Post(Body(kArch))));
    ASSERT_TRUE(WaitFor(harness, "tao_gateway_exchanges{stage=\"connect\"}", 1));
    client.Close();
    EXPECT_TRUE(WaitFor(harness, Broken("connect", "client"), 1));
  }
  ::close(full);
}

TEST(MetricsTest, CountsUpstreamsThatBreakOff) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    const RawMessage request = peer.ReadRequest();
    if (request.head.find("X-Begin") == std::string::npos) return;
    peer.Write("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nbegun");
  });
  GatewayHarness harness({ServiceAt(upstream.port())}, WithAdmin());
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 502);
  EXPECT_TRUE(WaitFor(harness, Broken("first_byte", "upstream"), 1));
  EXPECT_FALSE(harness.Ask(Post(Body(kArch), "X-Begin: 1\r\n")).whole);
  EXPECT_TRUE(WaitFor(harness, Broken("answer", "upstream"), 1));
  EXPECT_EQ(Value(Scrape(harness), Requests("200", "upstream_reset")), 1);
}

// S19, S13, S14: what became of each stream, and when its events came.
TEST(MetricsTest, StreamsAreCountedByWhatBecameOfThem) {
  const auto chunk = [](const std::string& data) {
    std::ostringstream size;
    size << std::hex << data.size();
    return size.str() + "\r\n" + data + "\r\n";
  };
  const std::string event = chunk("data: {\"choices\":[]}\n\n");
  const std::string done = chunk("data: [DONE]\n\n") + "0\r\n\r\n";
  const std::map<std::string, std::string> streams = {
      {"ok", event + event + done},
      {"no_done", event + "0\r\n\r\n"},
      {"upstream_error_event", event + chunk("data: {\"error\":{\"code\":500}}\n\n") + done},
      {"upstream_truncated", event},
      {"timeout", event},
      {"client_cancel", event},
  };
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    const std::string wanted = *peer.ReadRequest().Field("X-Wanted");
    peer.Write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
        streams.at(wanted));
    if (wanted == "timeout" || wanted == "client_cancel") peer.WaitForEnd();
  });
  const auto stream = [&](const GatewayHarness& harness, const std::string& outcome) {
    RawSocket client = harness.Connect();
    client.Write(Post(Body(kArch, ",\"stream\":true"), "X-Wanted: " + outcome + "\r\n"));
    client.ReadThrough("choices");
    if (outcome == "client_cancel") {
      client.Close();
    } else {
      client.ReadToEnd();
    }
    EXPECT_TRUE(WaitFor(harness,
                        "tao_gateway_streams_total" + kLabels + ",outcome=\"" + outcome + "\"}", 1))
        << outcome;
  };
  GatewayConfig impatient = WithAdmin();
  impatient.upstream.timeouts.between_bytes = absl::Milliseconds(100);
  stream(GatewayHarness({ServiceAt(upstream.port())}, impatient), "timeout");

  GatewayHarness harness({ServiceAt(upstream.port())}, WithAdmin());
  for (const auto& [outcome, bytes] : streams) {
    if (outcome != "timeout") stream(harness, outcome);
  }
  const std::string text = Scrape(harness);
  EXPECT_EQ(Value(text, "tao_gateway_stream_events_total" + kLabels + "}"), 7);
  EXPECT_EQ(Value(text, "tao_gateway_stream_first_event_seconds_count" + kLabels + "}"), 5);
  EXPECT_EQ(Value(text, "tao_gateway_stream_event_gap_seconds_count" + kLabels + "}"), 2);
  EXPECT_GT(Value(text, "tao_gateway_stream_first_event_seconds_sum" + kLabels + "}"), 0);
}

TEST(MetricsTest, SeriesOfAStoppedServiceVanish) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  GatewayHarness harness({ServiceAt(upstream.port())}, WithAdmin());
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_TRUE(WaitFor(harness, Requests("200", ""), 1));
  harness.Publish({});
  EXPECT_THAT(Scrape(harness), Not(HasSubstr(std::string(kJob))));
}

TEST(ServerTimingTest, IsOnAnswersBesideTheServicesOwn) {
  std::string answer = FlaskAnswer(kCompletion);
  answer.insert(answer.find("Server:"), "Server-Timing: gpu;dur=12\r\n");
  FakeUpstream upstream(Answers(answer));
  GatewayHarness harness({ServiceAt(upstream.port()), ServiceAt(1, kOtherJob, "other")});
  const std::string head = harness.Ask(Post(Body(kArch))).head;
  EXPECT_THAT(head, HasSubstr("\r\nServer-Timing: gpu;dur=12\r\n"));
  EXPECT_THAT(head,
              testing::ContainsRegex(
                  "\r\nServer-Timing: gw;dur=[0-9.]+, connect;dur=[0-9.]+, up;dur=[0-9.]+\r\n"));
  // Ours, about a chosen service; not where none was.
  EXPECT_THAT(harness.Ask(Post(Body("other"))).head, HasSubstr("\r\nServer-Timing: gw;dur="));
  EXPECT_EQ(harness.Ask(Post(Body("nobody"))).Field("Server-Timing"), std::nullopt);
}

class AccessLogTest : public testing::Test {
 protected:
  ~AccessLogTest() override { std::filesystem::remove(path_); }

  std::vector<nlohmann::json> Lines() const {
    std::vector<nlohmann::json> lines;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  const std::string path_ = testing::TempDir() + "/access-" + std::to_string(::getpid()) + ".jsonl";
};

TEST_F(AccessLogTest, HasOneLineForEachExchange) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  const std::string body = Body(kArch);
  {
    GatewayConfig config = GatewayHarness::Config();
    config.access_log = path_;
    GatewayHarness harness({ServiceAt(upstream.port())}, config);
    EXPECT_EQ(harness.Ask(Post(body, "X-Request-Id: mine\r\n")).status(), 200);
    EXPECT_EQ(harness.Ask(Post(body, HeaderFor(kJob))).status(), 200);
    EXPECT_EQ(harness.Ask(Post("{\"messages\":[]}")).status(), 200);
    EXPECT_EQ(harness.Ask(Post(Body("nobody"))).status(), 404);
  }  // its end writes what waits
  std::vector<nlohmann::json> lines = Lines();
  ASSERT_EQ(lines.size(), 4U);
  // Two workers: each writes its own lines.
  std::sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
    return a["selector"].template get<std::string>() < b["selector"].template get<std::string>();
  });
  EXPECT_EQ(lines[0]["selector"], "");
  EXPECT_EQ(lines[0]["status"], 404);
  EXPECT_EQ(lines[0]["token"], "model_not_found");
  EXPECT_EQ(lines[0]["stage"], "body");
  EXPECT_EQ(lines[0]["closed_by"], "gateway");
  EXPECT_EQ(lines[1]["selector"], "header");
  EXPECT_EQ(lines[2]["selector"], "model");
  EXPECT_EQ(lines[3]["selector"], "none");
  const nlohmann::json& mine = lines[2];
  EXPECT_EQ(mine["request_id"], "mine");
  EXPECT_EQ(mine["method"], "POST");
  EXPECT_EQ(mine["path"], "/v1/chat/completions");
  EXPECT_EQ(mine["job_id"], kJob);
  EXPECT_EQ(mine["network_arch"], kArch);
  EXPECT_EQ(mine["status"], 200);
  EXPECT_EQ(mine["stage"], "done");
  EXPECT_EQ(mine["closed_by"], "");
  EXPECT_EQ(mine["body_bytes"], body.size());
  EXPECT_EQ(mine["answer_bytes"], kCompletion.size());
  for (const char* const name : {"duration_ms", "first_byte_ms", "connect_ms"}) {
    ASSERT_TRUE(mine[name].is_number()) << name;
    EXPECT_GT(mine[name].get<double>(), 0) << name;
  }
  EXPECT_TRUE(mine["held_ms"].is_number());
  EXPECT_TRUE(mine["overhead_ms"].is_number());
}

TEST_F(AccessLogTest, TellsOfAStreamsEvents) {
  FakeUpstream upstream(
      Answers("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
              "data: {}\n\n: x\n\ndata: {}\n\ndata: [DONE]\n\n"));
  {
    GatewayConfig config = GatewayHarness::Config();
    config.access_log = path_;
    GatewayHarness harness({ServiceAt(upstream.port())}, config);
    EXPECT_TRUE(harness.Ask(Post(Body(kArch, ",\"stream\":true"))).whole);
  }
  const std::vector<nlohmann::json> lines = Lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["stream"], "ok");
  EXPECT_EQ(lines[0]["events"], 2);
  EXPECT_GT(lines[0]["first_event_ms"].get<double>(), 0);
  EXPECT_TRUE(lines[0]["longest_gap_ms"].is_number());
}

// What rotates logs renames the file, then says so.
TEST_F(AccessLogTest, GoesOnInANewFileWhenItIsOpenedAnew) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  const std::string rotated = path_ + ".1";
  {
    GatewayConfig config = GatewayHarness::Config();
    config.access_log = path_;
    config.workers = 1;
    GatewayHarness harness({ServiceAt(upstream.port())}, config);
    EXPECT_EQ(harness.Ask(Post(Body(kArch), "X-Request-Id: first\r\n")).status(), 200);
    const absl::Time limit = absl::Now() + kTestLimit;
    while (Lines().empty() && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(5));
    std::filesystem::rename(path_, rotated);
    harness.gateway->ReopenAccessLog();
    EXPECT_EQ(harness.Ask(Post(Body(kArch), "X-Request-Id: second\r\n")).status(), 200);
  }
  const std::vector<nlohmann::json> lines = Lines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["request_id"], "second");
  std::ifstream file(rotated);
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  EXPECT_EQ(nlohmann::json::parse(line)["request_id"], "first");
  EXPECT_FALSE(std::getline(file, line));
  std::filesystem::remove(rotated);
}

TEST_F(AccessLogTest, AFileThatCannotBeOpenedAnewIsKept) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  const std::string folder = path_ + ".d";
  const std::string away = path_ + ".away";
  std::filesystem::create_directory(folder);
  {
    GatewayConfig config = GatewayHarness::Config();
    config.access_log = folder + "/log";
    GatewayHarness harness({ServiceAt(upstream.port())}, config);
    std::filesystem::rename(folder, away);
    harness.gateway->ReopenAccessLog();
    EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  }
  EXPECT_GT(std::filesystem::file_size(away + "/log"), 0U);
  std::filesystem::remove_all(away);
}

TEST_F(AccessLogTest, AFullDiskLosesLinesAndNothingElse) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  GatewayConfig config = WithAdmin();
  config.access_log = "/dev/full";
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
  EXPECT_TRUE(WaitFor(harness, "tao_gateway_access_log_lost_lines_total", 1));
  EXPECT_EQ(harness.Ask(Post(Body(kArch))).status(), 200);
}

TEST_F(AccessLogTest, AFileThatCannotBeOpenedIsSaid) {
  GatewayConfig config = GatewayHarness::Config();
  config.access_log = "/nowhere/access.jsonl";
  const auto gateway = Gateway::Start(config, nullptr);
  ASSERT_FALSE(gateway.ok());
  EXPECT_THAT(std::string(gateway.status().message()), HasSubstr("--access-log"));
}

}  // namespace
}  // namespace tao::gateway
