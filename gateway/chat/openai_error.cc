#include "gateway/chat/openai_error.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "gateway/chat/json_writer.h"
#include "server/base/errors.h"
#include "server/base/secret.h"
#include "server/base/strings.h"

namespace tao::chat {
namespace {

void AppendNullable(std::string& out, std::string_view name, std::string_view value) {
  if (!value.empty()) return AppendJsonMember(out, name, value);
  out += ',';
  AppendJsonString(out, name);
  out += ":null";
}

void AppendCandidates(std::string& out, const base::ErrorDetails& details) {
  out += ",\"candidates\":[";
  for (const base::ErrorCandidate& candidate : details.candidates) {
    if (out.back() != '[') out += ',';
    out += '{';
    AppendJsonMember(out, "job_id", candidate.job_id);
    AppendJsonMember(out, "network_arch", candidate.network_arch);
    AppendJsonMember(out, "started_at", candidate.started_at);
    AppendJsonMember(out, "host_url", candidate.host_url);
    out += '}';
  }
  out += ']';
  const auto listed = static_cast<int>(details.candidates.size());
  out += ",\"candidate_count\":" + std::to_string(std::max(details.candidate_count, listed));
}

// What is wrong with each field, and how many there are.
void AppendFindings(std::string& out, const base::ErrorDetails& details) {
  out += ",\"findings\":[";
  for (const base::FieldViolation& each : details.violations) {
    if (out.back() != '[') out += ',';
    out += '{';
    AppendJsonMember(out, "param", each.field);
    AppendJsonMember(out, "found", base::Redact(each.found));
    AppendJsonMember(out, "right", each.right);
    out += '}';
  }
  out += "],\"total\":" + std::to_string(details.violation_count);
}

}  // namespace

std::string ErrorBody(const absl::Status& status) {
  const std::optional<base::ErrorToken> token = base::TokenOf(status);
  const base::ErrorDetails details = base::DetailsOf(status);
  std::string_view type = token.has_value() ? base::RuleOf(*token).type : "server_error";
  if (!details.type.empty()) type = details.type;
  std::string_view param = details.param;
  if (param.empty() && !details.violations.empty()) param = details.violations.front().field;

  std::string out = "{\"error\":{";
  // It may quote what the request said.
  AppendJsonMember(out, "message", base::Redact(std::string(base::ToStd(status.message()))));
  AppendJsonMember(out, "type", type);
  AppendNullable(out, "param", param);
  AppendNullable(out, "code", token.has_value() ? base::RuleOf(*token).name : "");
  if (!details.candidates.empty()) AppendCandidates(out, details);
  if (details.violation_count > 0) AppendFindings(out, details);
  out += "}}";
  return out;
}

std::string ErrorEvent(const absl::Status& status) { return "data: " + ErrorBody(status) + "\n\n"; }

}  // namespace tao::chat
