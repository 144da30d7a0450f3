// RenderMetrics: the counters in the text format of Prometheus.

#include <absl/strings/str_format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "gateway/metrics.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

using Label = std::pair<std::string_view, std::string_view>;

// Prometheus reads numbers as doubles: whole ones up to 2^53 are exact.
std::string Seconds(int64_t nanoseconds) {
  return absl::StrFormat("%.10g", static_cast<double>(nanoseconds) / 1e9);
}

class Writer {
 public:
  // All samples of one name follow each other, so it is said once what they are.
  void Family(std::string_view name, std::string_view type, std::string_view help) {
    family_ = name;
    absl::StrAppendFormat(&out_, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
  }

  void Sample(std::initializer_list<Label> labels, uint64_t value) {
    Sample("", labels, {}, std::to_string(value));
  }

  template <typename Histogram>
  void Samples(std::initializer_list<Label> labels, const Histogram& histogram) {
    uint64_t sum = 0;
    for (size_t i = 0; i < Histogram::bounds().size(); ++i) {
      sum += histogram.counts()[i];
      Sample("_bucket", labels, Seconds(Histogram::bounds()[i]), std::to_string(sum));
    }
    sum += histogram.counts().back();
    Sample("_bucket", labels, "+Inf", std::to_string(sum));
    Sample("_sum", labels, {}, Seconds(histogram.sum()));
    Sample("_count", labels, {}, std::to_string(sum));
  }

  std::string Take() { return std::move(out_); }

 private:
  void Sample(std::string_view suffix, std::initializer_list<Label> labels, std::string_view bound,
              std::string_view value) {
    out_.append(family_).append(suffix);
    char before = '{';
    for (const auto& [name, text] : labels) {
      out_.append(1, std::exchange(before, ',')).append(name).append("=\"");
      AppendEscaped(text);
      out_ += '"';
    }
    if (!bound.empty()) {
      out_.append(1, std::exchange(before, ',')).append("le=\"").append(bound).append("\"");
    }
    if (before == ',') out_ += '}';
    out_.append(1, ' ').append(value).append(1, '\n');
  }

  void AppendEscaped(std::string_view text) {
    for (const char c : text) {
      if (c == '\\' || c == '"') out_ += '\\';
      if (c == '\n') {
        out_ += "\\n";
      } else {
        out_ += c;
      }
    }
  }

  std::string_view family_;
  std::string out_;
};

// One set of labels with what was counted for it.
struct Row {
  std::string_view job_id;
  std::string_view network_arch;
  const ServiceMetrics* counted;
};

// In the order of the table; last what no service was chosen for.
std::vector<Row> RowsOf(const GatewayMetrics& metrics) {
  std::vector<Row> rows;
  for (const routing::Service& service : metrics.table->services()) {
    const auto found = metrics.workers.services.find(service.job_id);
    if (found != metrics.workers.services.end()) {
      rows.push_back({service.job_id, service.network_arch, &found->second});
    }
  }
  rows.push_back({"", "", &metrics.workers.unrouted});
  return rows;
}

std::string_view EndpointName(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kLivez:
      return "livez";
    case Endpoint::kReadyz:
      return "readyz";
    case Endpoint::kModels:
      return "models";
    case Endpoint::kModel:
      return "model";
    case Endpoint::kSchema:
      return "schema";
    case Endpoint::kChat:
      return "chat";
    case Endpoint::kNone:
    case Endpoint::kAsterisk:
      break;
  }
  return "none";
}

// Of services that have answered with a stream.
void WriteStreams(Writer& out, const std::vector<Row>& all) {
  std::vector<Row> rows;
  for (const Row& row : all) {
    const auto& streams = row.counted->streams;
    if (std::any_of(streams.begin() + 1, streams.end(),
                    [](uint64_t count) { return count != 0; })) {
      rows.push_back(row);
    }
  }
  out.Family("tao_gateway_streams_total", "counter",
             "Event streams of services that have ended, by what became of them.");
  for (const Row& row : rows) {
    for (size_t outcome = 1; outcome < kOutcomes; ++outcome) {
      if (row.counted->streams[outcome] == 0) continue;
      out.Sample({{"job_id", row.job_id},
                  {"network_arch", row.network_arch},
                  {"outcome", ToString(static_cast<StreamOutcome>(outcome))}},
                 row.counted->streams[outcome]);
    }
  }
  out.Family("tao_gateway_stream_events_total", "counter", "Events of these streams.");
  for (const Row& row : rows) {
    out.Sample({{"job_id", row.job_id}, {"network_arch", row.network_arch}}, row.counted->events);
  }
  out.Family("tao_gateway_stream_first_event_seconds", "histogram",
             "From the head of a request to the first event of the service's stream.");
  for (const Row& row : rows) {
    out.Samples({{"job_id", row.job_id}, {"network_arch", row.network_arch}},
                row.counted->first_event);
  }
  out.Family("tao_gateway_stream_event_gap_seconds", "histogram",
             "Between two events of a stream, as they came.");
  for (const Row& row : rows) {
    out.Samples({{"job_id", row.job_id}, {"network_arch", row.network_arch}}, row.counted->gaps);
  }
}

void WriteServices(Writer& out, const std::vector<Row>& rows) {
  out.Family("tao_gateway_requests_total", "counter",
             "Chat completions that have ended, by what the client was told.");
  for (const Row& row : rows) {
    for (const AnswerCounts::Entry& entry : row.counted->answers.entries()) {
      out.Sample({{"job_id", row.job_id},
                  {"network_arch", row.network_arch},
                  {"code", std::to_string(entry.code)},
                  {"token", NameOf(entry.token)}},
                 entry.count);
    }
  }
  out.Family("tao_gateway_request_duration_seconds", "histogram",
             "From the head of a request to the end of its answer.");
  for (const Row& row : rows) {
    out.Samples({{"job_id", row.job_id}, {"network_arch", row.network_arch}},
                row.counted->duration);
  }
  out.Family("tao_gateway_time_to_first_byte_seconds", "histogram",
             "From the head of a request to the first byte of the service's answer.");
  for (const Row& row : rows) {
    out.Samples({{"job_id", row.job_id}, {"network_arch", row.network_arch}},
                row.counted->first_byte);
  }
  WriteStreams(out, rows);
  out.Family("tao_gateway_request_body_bytes_total", "counter", "Bytes of request bodies read.");
  for (const Row& row : rows) {
    out.Sample({{"job_id", row.job_id}, {"network_arch", row.network_arch}},
               row.counted->body_bytes);
  }
  out.Family("tao_gateway_answer_body_bytes_total", "counter",
             "Bytes of services' answers given to clients.");
  for (const Row& row : rows) {
    out.Sample({{"job_id", row.job_id}, {"network_arch", row.network_arch}},
               row.counted->answer_bytes);
  }
  out.Family("tao_gateway_broken_exchanges_total", "counter",
             "Chat completions without a whole answer, by how far they had come and who ended "
             "them.");
  for (const Row& row : rows) {
    for (size_t stage = 0; stage < kStages; ++stage) {
      for (const ClosedBy by : {ClosedBy::kClient, ClosedBy::kUpstream, ClosedBy::kGateway}) {
        const uint64_t count = row.counted->broken[stage][static_cast<size_t>(by)];
        if (count == 0) continue;
        out.Sample({{"job_id", row.job_id},
                    {"network_arch", row.network_arch},
                    {"stage", ToString(static_cast<ExchangeStage>(stage))},
                    {"closed_by", ToString(by)}},
                   count);
      }
    }
  }
  out.Family("tao_gateway_exchanges_in_flight", "gauge",
             "Chat completions that a service has been sent.");
  for (const Row& row : rows) {
    if (row.job_id.empty()) continue;
    out.Sample({{"job_id", row.job_id}, {"network_arch", row.network_arch}},
               row.counted->in_flight);
  }
}

void WriteWorkers(Writer& out, const WorkerMetrics& workers) {
  out.Family("tao_gateway_exchanges", "gauge", "Chat completions that run, by how far they are.");
  for (size_t stage = 0; stage < kStages; ++stage) {
    out.Sample({{"stage", ToString(static_cast<ExchangeStage>(stage))}}, workers.exchanges[stage]);
  }
  out.Family("tao_gateway_overhead_seconds", "histogram",
             "What the gateway itself added to answered chat completions.");
  out.Samples({}, workers.overhead);

  AnswerCounts none;  // two endpoints have no name
  none.Add(workers.others[static_cast<size_t>(Endpoint::kNone)]);
  none.Add(workers.others[static_cast<size_t>(Endpoint::kAsterisk)]);
  out.Family("tao_gateway_other_requests_total", "counter",
             "Requests that were answered without becoming an exchange.");
  for (size_t i = 0; i < kEndpoints; ++i) {
    const auto endpoint = static_cast<Endpoint>(i);
    if (endpoint == Endpoint::kAsterisk) continue;
    const AnswerCounts& answers = endpoint == Endpoint::kNone ? none : workers.others[i];
    for (const AnswerCounts::Entry& entry : answers.entries()) {
      out.Sample({{"endpoint", EndpointName(endpoint)},
                  {"code", std::to_string(entry.code)},
                  {"token", NameOf(entry.token)}},
                 entry.count);
    }
  }
  out.Family("tao_gateway_client_connections", "gauge", "Connections of clients.");
  out.Sample({}, workers.connections);
  out.Family("tao_gateway_client_connections_accepted_total", "counter",
             "Connections of clients that were accepted.");
  out.Sample({}, workers.connections_accepted);
  out.Family("tao_gateway_upstream_connections_idle", "gauge",
             "Connections to services that wait to be used again.");
  out.Sample({}, workers.upstream_idle);
  out.Family("tao_gateway_upstream_connections_opened_total", "counter",
             "Connections to services that were opened.");
  out.Sample({}, workers.upstream_opened);
  out.Family("tao_gateway_upstream_connections_reused_total", "counter",
             "Times that a connection to a service was used again.");
  out.Sample({}, workers.upstream_reused);
}

void WritePhases(Writer& out, const routing::RouteTable& table) {
  out.Family("tao_gateway_service_phase", "gauge", "The present phase of each service, as 1.");
  for (const routing::Service& service : table.services()) {
    out.Sample({{"job_id", service.job_id},
                {"network_arch", service.network_arch},
                {"platform", service.platform},
                {"phase", routing::ToString(service.phase)}},
               1);
  }
}

}  // namespace

std::string RenderMetrics(const GatewayMetrics& metrics) {
  Writer out;
  WriteServices(out, RowsOf(metrics));
  WriteWorkers(out, metrics.workers);
  WritePhases(out, *metrics.table);
  out.Family("tao_gateway_spool_file_bytes", "gauge", "Room taken by request bodies in files.");
  out.Sample({}, metrics.spool_file_bytes);
  out.Family("tao_gateway_spool_memory_bytes", "gauge", "Room taken by request bodies in memory.");
  out.Sample({}, metrics.spool_memory_bytes);
  out.Family("tao_gateway_access_log_lost_lines_total", "counter",
             "Lines that the access log could not write.");
  out.Sample({}, metrics.lost_log_lines);
  return out.Take();
}

}  // namespace tao::gateway
