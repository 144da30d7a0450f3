#include "server/platforms/preflight.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <utility>

#include "server/base/closest_name.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

std::string MessagesOf(const std::vector<CheckItem>& items, CheckItem::Outcome outcome) {
  std::vector<std::string> messages;
  for (const CheckItem& item : items) {
    if (item.outcome == outcome) messages.push_back(item.message);
  }
  return absl::StrJoin(messages, "; ");
}

std::string UnknownOption(const Platform& platform, const std::string& name) {
  std::vector<std::string> known;
  for (const PlatformOption& option : platform.traits().options) known.emplace_back(option.name);
  if (known.empty()) {
    return absl::StrFormat("is an option, and platform %s takes none; leave it out",
                           platform.traits().name);
  }
  return absl::StrFormat("is not an option of platform %s, which takes %s%s",
                         platform.traits().name, base::JoinedList(known),
                         base::DidYouMean(name, known));
}

}  // namespace

absl::Status ToStatus(const std::vector<CheckItem>& items) {
  const std::string missing = MessagesOf(items, CheckItem::Outcome::kMissing);
  if (!missing.empty()) return absl::FailedPreconditionError(missing);
  const std::string unknown = MessagesOf(items, CheckItem::Outcome::kUnknown);
  if (!unknown.empty()) return absl::UnavailableError(unknown);
  return absl::OkStatus();
}

absl::Status CheckOptions(const Platform& platform,
                          const std::map<std::string, std::string>& options) {
  std::vector<base::FieldViolation> violations;
  for (const auto& [name, value] : options) {
    bool known = false;
    for (const PlatformOption& option : platform.traits().options) known |= option.name == name;
    if (!known) violations.push_back({"platform_options." + name, UnknownOption(platform, name)});
  }
  if (violations.empty()) return platform.CheckOptions(options);
  std::string message;
  for (const base::FieldViolation& each : violations) {
    message +=
        absl::StrFormat("%s%s %s", message.empty() ? "" : "; ", each.field, each.description);
  }
  return base::WithDetails(absl::InvalidArgumentError(message), {.violations = violations});
}

absl::Status Preflight(Platform& platform, const launch::LaunchPlan& plan,
                       absl::Duration deadline) {
  return ToStatus(platform.Check(
      {.options = plan.platform_options, .gpus = plan.gpus, .plan = &plan}, deadline));
}

CheckItem ItemOf(std::string_view name, const absl::Status& status, std::string_view found) {
  if (status.ok()) return {std::string(name), CheckItem::Outcome::kOk, std::string(found)};
  const bool asked = !absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status);
  return {std::string(name), asked ? CheckItem::Outcome::kMissing : CheckItem::Outcome::kUnknown,
          std::string(base::ToStd(status.message()))};
}

}  // namespace tao::platforms
