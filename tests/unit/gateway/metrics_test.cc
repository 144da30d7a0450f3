// What is counted, and the text that a scraper reads, read back.

#include "gateway/metrics.h"

#include <gmock/gmock.h>

#include "server/base/errors.h"

namespace tao::gateway {
namespace {

using base::ErrorToken;
using testing::HasSubstr;
using testing::Not;

routing::Service ServiceOf(const std::string& job_id, const std::string& arch = "cosmos-rl") {
  routing::Service service;
  service.job_id = job_id;
  service.network_arch = arch;
  service.platform = "slurm";
  service.phase = routing::Phase::kReady;
  return service;
}

GatewayMetrics MetricsOf(std::vector<routing::Service> services) {
  GatewayMetrics metrics;
  metrics.table = routing::RouteTable::Build(std::move(services));
  return metrics;
}

ExchangeEnd EndAt(const routing::Service* service, int code, int64_t duration) {
  ExchangeEnd end;
  end.code = code;
  end.stage = ExchangeStage::kAnswer;
  end.service = service;
  end.duration = duration;
  return end;
}

ExchangeTimes Answered() {
  ExchangeTimes times;
  times.begun = 1'000'000;
  times.sendable = 1'100'000;
  times.sent = 1'120'000;
  times.head = 36'000'000;
  times.answered = 36'030'000;
  return times;
}

// Every family is announced once, before its samples, which stand together; every sample is a name,
// labels and a number.
TEST(MetricsTest, TheTextIsThatOfPrometheus) {
  GatewayMetrics metrics = MetricsOf({ServiceOf("a"), ServiceOf("b")});
  const auto& services = metrics.table->services();
  for (const routing::Service& service : services) {
    metrics.workers.Count(EndAt(&service, 200, 40'000'000), Answered(), *metrics.table);
  }
  metrics.workers.CountOther(Endpoint::kModels, 200, std::nullopt);
  metrics.workers.CountOther(Endpoint::kChat, 415, base::ErrorToken::kUnsupportedMediaType);
  const std::string text = RenderMetrics(metrics);
  ASSERT_FALSE(text.empty());
  EXPECT_EQ(text.back(), '\n');
  EXPECT_THAT(text, HasSubstr("endpoint=\"chat\",code=\"415\""));
  std::vector<std::string> families;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.starts_with("# HELP ")) {
      const std::string name = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_THAT(families, Not(testing::Contains(name)));
      families.push_back(name);
    } else if (line.starts_with("# TYPE ")) {
      EXPECT_TRUE(line.starts_with("# TYPE " + families.back() + " ")) << line;
    } else {
      ASSERT_FALSE(families.empty());
      EXPECT_TRUE(line.starts_with(families.back())) << line;
      EXPECT_THAT(line,
                  testing::MatchesRegex("[a-z_]+(\\{[a-z_]+=\"[^\"]*\"(,[a-z_]+=\"[^\"]*\")*\\})? "
                                        "[0-9.e+-]+"));
    }
  }
}

TEST(MetricsTest, HistogramsAreCumulative) {
  GatewayMetrics metrics = MetricsOf({ServiceOf("a")});
  const routing::Service& service = metrics.table->services().front();
  for (const int64_t milliseconds : {1, 2, 40, 7'200'000}) {
    metrics.workers.Count(EndAt(&service, 200, milliseconds * 1'000'000), Answered(),
                          *metrics.table);
  }
  const std::string text = RenderMetrics(metrics);
  const std::string name = "tao_gateway_request_duration_seconds";
  const std::string labels = "{job_id=\"a\",network_arch=\"cosmos-rl\"";
  EXPECT_THAT(text, HasSubstr(name + "_bucket" + labels + ",le=\"0.001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket" + labels + ",le=\"0.0025\"} 2\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket" + labels + ",le=\"0.05\"} 3\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket" + labels + ",le=\"1800\"} 3\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket" + labels + ",le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr(name + "_sum" + labels + "} 7200.043\n"));
  EXPECT_THAT(text, HasSubstr(name + "_count" + labels + "} 4\n"));
  // 20 us before the sending, 30 us before the answer.
  EXPECT_THAT(text, HasSubstr("tao_gateway_overhead_seconds_bucket{le=\"2.5e-05\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("tao_gateway_overhead_seconds_bucket{le=\"5e-05\"} 4\n"));
}

TEST(MetricsTest, WorkersAddUp) {
  GatewayMetrics metrics = MetricsOf({ServiceOf("a")});
  const routing::Service& service = metrics.table->services().front();
  WorkerMetrics one;
  WorkerMetrics other;
  one.Count(EndAt(&service, 200, 1), Answered(), *metrics.table);
  other.Count(EndAt(&service, 200, 1), Answered(), *metrics.table);
  ExchangeEnd refused = EndAt(nullptr, 404, 1);
  refused.token = ErrorToken::kModelNotFound;
  refused.stage = ExchangeStage::kBody;
  refused.closed_by = ClosedBy::kGateway;
  other.Count(refused, ExchangeTimes(), *metrics.table);
  other.exchanges[static_cast<size_t>(ExchangeStage::kHeld)] = 3;
  metrics.workers.Add(one);
  metrics.workers.Add(other);
  const std::string text = RenderMetrics(metrics);
  EXPECT_THAT(text, HasSubstr("tao_gateway_requests_total{job_id=\"a\",network_arch=\"cosmos-rl\","
                              "code=\"200\",token=\"\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tao_gateway_requests_total{job_id=\"\",network_arch=\"\","
                              "code=\"404\",token=\"model_not_found\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tao_gateway_broken_exchanges_total{job_id=\"\",network_arch=\"\","
                              "stage=\"body\",closed_by=\"gateway\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tao_gateway_exchanges{stage=\"held\"} 3\n"));
}

TEST(MetricsTest, StreamsTellTheirOutcomeAndTheTimesOfTheirEvents) {
  GatewayMetrics metrics = MetricsOf({ServiceOf("a"), ServiceOf("none")});
  const routing::Service& service = *metrics.table->Find("a");
  ExchangeEnd end = EndAt(&service, 200, 1);
  end.stream = StreamOutcome::kOk;
  ExchangeTimes times = Answered();
  times.events.followed = true;
  times.events.Came(1, times.begun + 40'000'000);
  times.events.Came(3, times.begun + 240'000'000);  // three in one read, 200 ms later
  times.events.Came(0, times.begun + 999'000'000);  // bytes without an event's end
  EXPECT_EQ(times.events.longest_gap, 200'000'000);
  metrics.workers.Count(end, times, *metrics.table);
  end.stream = StreamOutcome::kErrorEvent;
  metrics.workers.Count(end, times, *metrics.table);
  metrics.workers.Count(EndAt(metrics.table->Find("none"), 200, 1), Answered(), *metrics.table);

  const std::string text = RenderMetrics(metrics);
  const std::string labels = "{job_id=\"a\",network_arch=\"cosmos-rl\"";
  EXPECT_THAT(text, HasSubstr("tao_gateway_streams_total" + labels + ",outcome=\"ok\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tao_gateway_streams_total" + labels +
                              ",outcome=\"upstream_error_event\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tao_gateway_stream_events_total" + labels + "} 8\n"));
  const std::string first = "tao_gateway_stream_first_event_seconds";
  EXPECT_THAT(text, HasSubstr(first + "_bucket" + labels + ",le=\"0.025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr(first + "_bucket" + labels + ",le=\"0.05\"} 2\n"));
  const std::string gap = "tao_gateway_stream_event_gap_seconds";
  EXPECT_THAT(text, HasSubstr(gap + "_bucket" + labels + ",le=\"0.005\"} 4\n"));
  EXPECT_THAT(text, HasSubstr(gap + "_bucket" + labels + ",le=\"0.1\"} 4\n"));
  EXPECT_THAT(text, HasSubstr(gap + "_bucket" + labels + ",le=\"0.25\"} 6\n"));
  EXPECT_THAT(text, HasSubstr(gap + "_sum" + labels + "} 0.4\n"));
  // Who never streamed has no such series.
  EXPECT_THAT(text, Not(HasSubstr("tao_gateway_stream_events_total{job_id=\"none\"")));
}

TEST(MetricsTest, LabelsAreEscaped) {
  const std::string text = RenderMetrics(MetricsOf({ServiceOf("a\"b\\c\nd")}));
  EXPECT_THAT(text,
              HasSubstr("tao_gateway_service_phase{job_id=\"a\\\"b\\\\c\\nd\","
                        "network_arch=\"cosmos-rl\",platform=\"slurm\",phase=\"READY\"} 1\n"));
}

TEST(MetricsTest, SeriesOfAServiceEndWithIt) {
  const auto before = routing::RouteTable::Build({ServiceOf("a")});
  GatewayMetrics metrics = MetricsOf({ServiceOf("b")});
  const routing::Service& gone = before->services().front();
  metrics.workers.Count(EndAt(&gone, 200, 1), Answered(), *before);
  EXPECT_THAT(RenderMetrics(metrics), Not(HasSubstr("job_id=\"a\"")));
  EXPECT_EQ(metrics.workers.services.size(), 1U);
  metrics.workers.Retain(*metrics.table);
  EXPECT_EQ(metrics.workers.services.size(), 0U);
  // Its last exchange ends after it.
  metrics.workers.Count(EndAt(&gone, 503, 1), Answered(), *metrics.table);
  EXPECT_EQ(metrics.workers.services.size(), 0U);
}

TEST(ServerTimingTest, NamesOurPartAndTheServices) {
  ExchangeTimes times = Answered();
  EXPECT_EQ(ServerTiming(times).text(), "gw;dur=0.050, up;dur=34.880");
  times.held = 12'000'000'000;
  times.connect = 1'250'000;
  EXPECT_EQ(ServerTiming(times).text(),
            "gw;dur=0.050, held;dur=12000.000, connect;dur=1.250, up;dur=34.880");
}

// The longest that there can be, and a request that got nowhere.
TEST(ServerTimingTest, FitsWhateverTheTimesAre) {
  ExchangeTimes times;
  EXPECT_EQ(ServerTiming(times).text(), "gw;dur=0.000");
  times.sendable = 1;
  times.sent = 2;
  times.head = times.answered = times.held = times.connect = INT64_MAX;
  EXPECT_EQ(ServerTiming(times).text(),
            "gw;dur=0.000, held;dur=1000000000.000, connect;dur=1000000000.000, "
            "up;dur=1000000000.000");
}

}  // namespace
}  // namespace tao::gateway
