// What a request's sender is told at the end.

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/errors.h"
#include "server/contract/body_check.h"

namespace tao::contract {
namespace {

// Of the findings, in the message; all that are kept are in the details.
constexpr size_t kTold = 3;

absl::Status Violation(const std::string& arch, const std::vector<Finding>& findings,
                       uint64_t total) {
  std::string message = absl::StrFormat("the request does not fit %s:", arch);
  for (size_t i = 0; i < std::min(findings.size(), kTold); ++i) {
    const Finding& each = findings[i];
    absl::StrAppendFormat(&message, "%s %s: found %s, right is %s", i == 0 ? "" : ";", each.param,
                          each.found, each.right);
  }
  if (total > kTold) {
    absl::StrAppendFormat(&message, "; and %d more finding%s", total - kTold,
                          total == kTold + 1 ? "" : "s");
  }
  base::ErrorDetails details;
  details.param = findings.front().param;
  details.violation_count = static_cast<int64_t>(total);
  for (const Finding& each : findings) {
    details.violations.push_back(
        {.field = each.param,
         .description = absl::StrFormat("found %s, right is %s", each.found, each.right),
         .found = each.found,
         .right = each.right});
  }
  return base::TokenError(base::ErrorToken::kContractViolation, message, details);
}

std::string LineOf(const Notice& notice) {
  std::string line = notice.param + ": " + notice.text;
  for (char& c : line) {
    if (c < ' ' || c > '~') c = '?';  // request.yaml's own words
  }
  return line;
}

}  // namespace

std::vector<Notice> BodyCheck::Notices() const {
  if (judges_.size() != 1) return {};
  const Judge& judge = judges_.front();
  std::vector<Notice> notices = judge.notices.items();
  for (size_t i = 0; i < judge.arch->fields.size(); ++i) {
    const FieldContract& field = judge.arch->fields[i];
    const std::string& name = contracts_->field_names()[i];
    if (field.use == catalog::FieldUse::kIgnored && given_[i]) {
      notices.push_back({name, judge.arch->network_arch + " ignores it", "leave it out"});
    }
    if (field.use != catalog::FieldUse::kApplies || given_[i]) continue;
    notices.push_back({name,
                       field.container_default.empty()
                           ? "not set; what the container uses then is unknown"
                           : "not set; the container uses " + field.container_default,
                       field.right});
  }
  return notices;
}

std::vector<std::string> BodyCheck::NoticeLines() const {
  constexpr size_t kLastLineBytes = 40;
  const std::vector<Notice> notices = Notices();
  std::vector<std::string> lines;
  if (notices.empty()) return lines;
  const FirstOf<Notice>& noted = judges_.front().notices;
  const uint64_t total = notices.size() + noted.total() - noted.items().size();
  size_t bytes = 0;
  for (const Notice& notice : notices) {
    const bool is_last = lines.size() + 1 == total;
    std::string line = LineOf(notice);
    bytes += line.size();
    if ((lines.size() + 1 == kMaxNoticeLines && !is_last) ||
        bytes + kLastLineBytes > kMaxNoticeBytes) {
      break;
    }
    lines.push_back(std::move(line));
  }
  if (lines.size() < total) lines.push_back(absl::StrFormat("and %d more", total - lines.size()));
  return lines;
}

absl::Status BodyCheck::Verdict(bool strict) const {
  if (judges_.size() != 1) return absl::OkStatus();
  const Judge& judge = judges_.front();
  std::vector<Finding> findings = judge.findings.items();
  uint64_t total = judge.findings.total();
  if (strict) {
    const std::vector<Notice> notices = Notices();
    for (const Notice& notice : notices) {
      if (findings.size() == kMaxFindings) break;
      findings.push_back({notice.param, notice.text, notice.right});
    }
    total += notices.size() + judge.notices.total() - judge.notices.items().size();
  }
  if (total == 0) return absl::OkStatus();
  return Violation(judge.arch->network_arch, findings, total);
}

}  // namespace tao::contract
