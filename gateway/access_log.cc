#include "gateway/access_log.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "gateway/access_log_file.h"
#include "gateway/chat/json_writer.h"
#include "gateway/exchange.h"
#include "server/base/log.h"
#include "server/base/secret.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

constexpr size_t kMaxPathBytes = 200;
constexpr size_t kMaxWhyBytes = 500;

// Whole microseconds, as milliseconds.
double Milliseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds / 1000) / 1000; }

template <typename Number>
void AppendNumber(std::string& out, std::string_view name, Number number) {
  char text[32];
  char* end = text;
  if constexpr (std::is_same_v<Number, double>) {
    end = std::to_chars(text, text + sizeof(text), number, std::chars_format::fixed, 3).ptr;
  } else {
    end = std::to_chars(text, text + sizeof(text), number).ptr;
  }
  out.append(",\"").append(name).append("\":").append(text, end);
}

}  // namespace

void WriteAccessLog(AccessLogBuffer& own, const AccessLogRequest& request, const Exchange& exchange,
                    const ExchangeTimes& times, const ExchangeEnd& end,
                    const absl::Status& status) {
  const bool is_failure = end.closed_by != ClosedBy::kClient &&
                          (end.code >= 500 || (!status.ok() && exchange.answer_begun()));
  const base::LogLevel level = is_failure ? base::LogLevel::kInfo : base::LogLevel::kDebug;
  if (!own.wanted() && !base::LogEnabled(level)) return;

  // The same fields in both.
  const std::string_view path = request.path.substr(0, kMaxPathBytes);
  const std::string_view job_id = end.service == nullptr ? std::string_view() : end.service->job_id;
  const std::string_view network_arch =
      end.service == nullptr ? std::string_view() : end.service->network_arch;
  const std::string_view stage = status.ok() ? "done" : ToString(end.stage);
  const std::string_view why = base::ToStd(status.message()).substr(0, kMaxWhyBytes);
  const double first_byte_ms = times.answered == 0 ? 0 : Milliseconds(times.answered - times.begun);

  const double first_event_ms =
      times.events.first == 0 ? 0 : Milliseconds(times.events.first - times.begun);

  if (!own.wanted()) {
    base::Log(level, "gateway", "exchange",
              {{"request_id", std::string(request.request_id)},
               {"method", std::string(request.method)},
               {"path", std::string(path)},
               {"job_id", std::string(job_id)},
               {"network_arch", std::string(network_arch)},
               {"selector", std::string(exchange.selector())},
               {"status", end.code},
               {"token", std::string(NameOf(end.token))},
               {"why", std::string(why)},
               {"stage", std::string(stage)},
               {"closed_by", std::string(ToString(end.closed_by))},
               {"body_bytes", end.body_bytes},
               {"answer_bytes", end.answer_bytes},
               {"duration_ms", Milliseconds(end.duration)},
               {"first_byte_ms", first_byte_ms},
               {"connect_ms", Milliseconds(times.connect)},
               {"held_ms", Milliseconds(times.held)},
               {"overhead_ms", Milliseconds(times.Overhead())},
               {"stream", std::string(ToString(end.stream))},
               {"events", times.events.count},
               {"first_event_ms", first_event_ms},
               {"longest_gap_ms", Milliseconds(times.events.longest_gap)}});
    return;
  }
  std::string& out = own.text();
  out += '{';
  chat::AppendJsonMember(
      out, "time", absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()));
  chat::AppendJsonMember(out, "request_id", request.request_id);
  chat::AppendJsonMember(out, "method", request.method);
  chat::AppendJsonMember(out, "path", base::Redact(std::string(path)));
  chat::AppendJsonMember(out, "job_id", job_id);
  chat::AppendJsonMember(out, "network_arch", network_arch);
  chat::AppendJsonMember(out, "selector", exchange.selector());
  AppendNumber(out, "status", end.code);
  chat::AppendJsonMember(out, "token", NameOf(end.token));
  chat::AppendJsonMember(out, "why", why.empty() ? "" : base::Redact(std::string(why)));
  chat::AppendJsonMember(out, "stage", stage);
  chat::AppendJsonMember(out, "closed_by", ToString(end.closed_by));
  AppendNumber(out, "body_bytes", end.body_bytes);
  AppendNumber(out, "answer_bytes", end.answer_bytes);
  AppendNumber(out, "duration_ms", Milliseconds(end.duration));
  AppendNumber(out, "first_byte_ms", first_byte_ms);
  AppendNumber(out, "connect_ms", Milliseconds(times.connect));
  AppendNumber(out, "held_ms", Milliseconds(times.held));
  AppendNumber(out, "overhead_ms", Milliseconds(times.Overhead()));
  if (end.stream != StreamOutcome::kNone) {
    chat::AppendJsonMember(out, "stream", ToString(end.stream));
    AppendNumber(out, "events", times.events.count);
    AppendNumber(out, "first_event_ms", first_event_ms);
    AppendNumber(out, "longest_gap_ms", Milliseconds(times.events.longest_gap));
  }
  out += "}\n";
  own.Added();
}

}  // namespace tao::gateway
