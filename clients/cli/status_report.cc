#include "clients/cli/status_report.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "clients/cli/terminal_text.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

// `text` with its own lines kept, each without control characters, further ones indented.
std::string Lines(const std::string& text) {
  std::string lines;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!lines.empty()) lines += "\n  ";
    lines += OneLine(base::ToStd(line));
  }
  return lines;
}

std::string DetailText(const google::protobuf::Any& detail, const std::string& message) {
  std::string text;
  if (google::rpc::BadRequest bad; detail.UnpackTo(&bad)) {
    for (const auto& violation : bad.field_violations()) {
      // The only finding is the message itself, most of the time.
      if (bad.field_violations_size() == 1 &&
          message.find(violation.description()) != std::string::npos) {
        continue;
      }
      text += absl::StrFormat("  %s: %s\n", OneLine(violation.field()),
                              OneLine(violation.description()));
    }
  }
  if (google::rpc::ErrorInfo info; detail.UnpackTo(&info)) {
    text += absl::StrFormat("  reason: %s\n", OneLine(info.reason()));
    // Names in order: a map of protobuf has none.
    const std::map<std::string, std::string> metadata(info.metadata().begin(),
                                                      info.metadata().end());
    for (const auto& [name, value] : metadata) {
      text += absl::StrFormat("  %s: %s\n", OneLine(name), Lines(value));
    }
  }
  if (google::rpc::RetryInfo retry; detail.UnpackTo(&retry)) {
    text += absl::StrFormat("  try again in %d s\n", retry.retry_delay().seconds());
  }
  return text;
}

// Only a daemon sends details: a bare status is the transport's, or of something else at that port.
bool FromDaemon(const grpc::Status& status) { return !status.error_details().empty(); }

template <typename Detail>
std::optional<Detail> DetailOf(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return std::nullopt;
  for (const google::protobuf::Any& detail : details.details()) {
    if (Detail found; detail.UnpackTo(&found)) return found;
  }
  return std::nullopt;
}

}  // namespace

std::string ReasonOf(const grpc::Status& status) {
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  return info.has_value() ? info->reason() : "";
}

std::optional<absl::Duration> RetryAfter(const grpc::Status& status) {
  const auto retry = DetailOf<google::rpc::RetryInfo>(status);
  if (!retry.has_value()) return std::nullopt;
  return absl::Seconds(retry->retry_delay().seconds()) +
         absl::Nanoseconds(retry->retry_delay().nanos());
}

ExitCode ExitCodeOf(const grpc::Status& status) {
  if (status.ok()) return ExitCode::kOk;
  const bool no_answer = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  return no_answer && !FromDaemon(status) ? ExitCode::kDaemonUnreachable : ExitCode::kRequestFailed;
}

std::string StatusText(const grpc::Status& status, const std::string& server) {
  const std::string message = Lines(status.error_message());
  if (ExitCodeOf(status) == ExitCode::kDaemonUnreachable) {
    return absl::StrFormat(
        "no tao-inference-server answers at %s (%s)\n"
        "  Start it (tao-inference-server), or name another with --server HOST:PORT or %s.\n",
        OneLine(server), message, kServerVariable);
  }
  std::string text = message.empty() ? absl::StrFormat("the request failed with gRPC status %d",
                                                       static_cast<int>(status.error_code()))
                                     : message;
  text += '\n';
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return text;
  for (const google::protobuf::Any& detail : details.details()) {
    text += DetailText(detail, status.error_message());
  }
  return text;
}

ExitCode ReportStatus(const grpc::Status& status, const Session& session) {
  if (status.error_code() == grpc::StatusCode::CANCELLED && session.interrupt.Happened()) {
    return ExitCode::kInterrupted;
  }
  PrintErr("tao-inference: " + StatusText(status, session.options.server));
  return ExitCodeOf(status);
}

}  // namespace tao::cli
