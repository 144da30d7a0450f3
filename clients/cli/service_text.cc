#include "clients/cli/service_text.h"

#include <absl/strings/str_format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <string_view>

#include "clients/cli/terminal_text.h"

namespace tao::cli {
namespace {

std::string OrDash(std::string_view text) {
  const std::string line = OneLine(text);
  return line.empty() ? "-" : line;
}

}  // namespace

std::string PhaseName(pb::Phase phase) {
  constexpr std::string_view kPrefix = "PHASE_";
  const std::string& name = pb::Phase_Name(phase);
  // A phase of a newer daemon has no name here.
  if (name.empty()) return absl::StrFormat("PHASE %d", static_cast<int>(phase));
  return name.substr(kPrefix.size());
}

std::string Age(const google::protobuf::Timestamp& since, bool is_set, absl::Time now) {
  if (!is_set) return "-";
  const int64_t seconds = std::max<int64_t>(0, absl::ToUnixSeconds(now) - since.seconds());
  const int64_t minutes = seconds / 60;
  const int64_t hours = minutes / 60;
  if (minutes == 0) return absl::StrFormat("%ds", seconds);
  if (hours == 0) return absl::StrFormat("%dm", minutes);
  if (hours < 24) return absl::StrFormat("%dh%dm", hours, minutes % 60);
  return absl::StrFormat("%dd%dh", hours / 24, hours % 24);
}

std::string ListTable(const std::vector<pb::Service>& services, absl::Time now) {
  std::vector<std::vector<std::string>> rows = {
      {"JOB ID", "ARCH", "PLATFORM", "PHASE", "AGE", "URL"}};
  for (const pb::Service& service : services) {
    rows.push_back({OrDash(service.job_id()), OrDash(service.network_arch()),
                    OrDash(service.platform()), PhaseName(service.phase()),
                    Age(service.created_at(), service.has_created_at(), now),
                    OrDash(service.gateway_url())});
  }
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string table;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      table += row[i];
      // Nothing is padded after the last column: no line ends in spaces.
      if (i + 1 < row.size()) table.append(widths[i] - row[i].size() + 2, ' ');
    }
    table += '\n';
  }
  return table;
}

std::string Brief(const pb::Service& service) {
  return absl::StrFormat("%s (%s, %s)", OrDash(service.network_arch()), OrDash(service.platform()),
                         PhaseName(service.phase()));
}

std::string StartSummary(const pb::Service& service) {
  return absl::StrFormat(
      "Job ID: %s\n"
      "Arch:   %s\n"
      "URL:    %s\n"
      "Use this Job ID to send requests or stop the service.\n",
      OrDash(service.job_id()), OrDash(service.network_arch()), OrDash(service.gateway_url()));
}

std::string FailureReport(const pb::Service& service) {
  std::string report = absl::StrFormat("service %s %s is %s", OneLine(service.job_id()),
                                       OneLine(service.network_arch()), PhaseName(service.phase()));
  if (!service.reason().empty()) report += absl::StrFormat(" [%s]", OneLine(service.reason()));
  if (!service.message().empty()) report += absl::StrFormat(": %s", OneLine(service.message()));
  report += '\n';
  if (service.last_log_lines_size() > 0) {
    report += "Its last log lines:\n";
    for (const std::string& line : service.last_log_lines()) {
      report += absl::StrFormat("  %s\n", OneLine(line));
    }
  }
  return report;
}

std::string ToJsonLine(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for google.protobuf.Any of unknown types, which no answer of ours has.
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) json = "{}";
  return json + "\n";
}

}  // namespace tao::cli
