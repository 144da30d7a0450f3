#include "clients/cli/chat_prompt.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/time/time.h>
#include <unistd.h>

#include <iostream>

#include "clients/cli/sampling_flags.h"
#include "clients/cli/terminal_text.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

// The line that is typed after `question`. nullopt: the input ended.
std::optional<std::string> Ask(const std::string& question) {
  PrintErr(question);
  std::string line;
  if (std::getline(std::cin, line)) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (base::IsValidUtf8(line)) return line;
    PrintErr("  That is not valid UTF-8.\n");
    return Ask(question);
  }
  PrintErr("\n");  // the end of the input leaves the cursor behind the question
  return std::nullopt;
}

std::string StartedAt(const pb::Service& service) {
  if (!service.has_started_at()) return "-";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ",
                          absl::FromUnixSeconds(service.started_at().seconds()),
                          absl::UTCTimeZone());
}

}  // namespace

bool CanAsk() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1; }

std::optional<pb::Service> AskWhichService(const std::vector<pb::Service>& services) {
  PrintErr("Several services can answer:\n");
  for (size_t i = 0; i < services.size(); ++i) {
    const pb::Service& service = services[i];
    PrintErr(absl::StrFormat("  %d) job_id=%s arch=%s started_at=%s url=%s\n", i + 1,
                             OneLine(service.job_id()), OneLine(service.network_arch()),
                             StartedAt(service), OneLine(service.gateway_url())));
  }
  for (;;) {
    const std::optional<std::string> line =
        Ask(absl::StrFormat("Which one? [1-%d] ", services.size()));
    if (!line.has_value()) return std::nullopt;
    size_t number = 0;
    if (absl::SimpleAtoi(*line, &number) && number >= 1 && number <= services.size()) {
      return services[number - 1];
    }
    for (const pb::Service& service : services) {
      if (service.job_id() == *line) return service;
    }
    PrintErr(absl::StrFormat("  A number from 1 to %d, or a job_id.\n", services.size()));
  }
}

std::optional<std::vector<pb::SamplingValue>> AskForSampling(
    const std::string& network_arch, const std::vector<pb::SamplingField>& fields) {
  PrintErr(absl::StrFormat("Sampling of %s; Enter takes what stands in brackets.\n",
                           OneLine(network_arch)));
  std::vector<pb::SamplingValue> values;
  for (const pb::SamplingField& field : fields) {
    const std::string question =
        absl::StrFormat("  %s (%s; %s) [%s]: ", OneLine(field.name()), TypeText(field),
                        OneLine(field.help()), ValueText(field.default_value()));
    for (;;) {
      const std::optional<std::string> line = Ask(question);
      if (!line.has_value()) return std::nullopt;
      if (line->empty()) {
        values.push_back(field.default_value());
        break;
      }
      absl::StatusOr<pb::SamplingValue> value = ParseSampling(field, *line);
      if (value.ok()) {
        values.push_back(*std::move(value));
        break;
      }
      PrintErr(absl::StrFormat("  %s\n", base::ToStd(value.status().message())));
    }
  }
  return values;
}

}  // namespace tao::cli
