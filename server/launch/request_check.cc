#include "server/launch/request_check.h"

#include <absl/strings/str_format.h>

#include "server/base/strings.h"

namespace tao::launch {
namespace {

// Shorter values are left: they would be found in ordinary words (as base::Redact has it).
constexpr size_t kMinSecretBytes = 8;

// More than a person can use at once; an error must stay small enough for gRPC's metadata.
constexpr size_t kMaxViolations = 20;

}  // namespace

RequestCheck::RequestCheck(const catalog::Catalog& catalog, const LaunchContext& context) {
  const catalog::Secrets& names = catalog.secrets();
  for (const std::vector<std::string>* list : {&names.passed_on, &names.own}) {
    for (const std::string& name : *list) {
      std::optional<std::string> value = context.environment(name);
      if (!value.has_value() || value->size() < kMinSecretBytes) continue;
      secrets_.push_back({.name = name, .value = *std::move(value)});
    }
  }
}

void RequestCheck::Add(std::string field, std::string description) {
  violations_.push_back({.field = std::move(field), .description = std::move(description)});
}

bool RequestCheck::AllowsText(std::string_view field, std::string_view text, size_t max_bytes) {
  std::string path(field);
  if (text.size() > max_bytes) {
    Add(path, absl::StrFormat("has %d bytes; at most %d are allowed", text.size(), max_bytes));
    return false;
  }
  if (text.find('\0') != std::string_view::npos) {
    Add(path, "holds a NUL character, which no command line or path can; remove it");
    return false;
  }
  if (!base::IsValidUtf8(text)) {
    Add(path, "is not valid UTF-8; write it in that encoding");
    return false;
  }
  for (const SecretValue& secret : secrets_) {
    if (text.find(secret.value) == std::string_view::npos) continue;
    Add(path, absl::StrFormat("holds the value of %s: secrets never travel in a request. Leave it "
                              "out; the container gets the names in secrets_handling.passed_on "
                              "from the daemon's environment",
                              secret.name));
    return false;
  }
  return true;
}

std::string RequestCheck::PathOf(std::string_view map, std::string_view key) {
  return absl::StrFormat("%s[%s]", map, base::Quoted(key));
}

absl::Status RequestCheck::ToStatus() const {
  if (violations_.empty()) return absl::OkStatus();
  const base::FieldViolation& first = violations_.front();
  std::string message = absl::StrFormat("%s: %s", first.field, first.description);
  if (violations_.size() > 1) {
    message += absl::StrFormat(" (and %d more finding%s)", violations_.size() - 1,
                               violations_.size() == 2 ? "" : "s");
  }
  base::ErrorDetails details{.reason = "INVALID_START_REQUEST", .violations = violations_};
  if (details.violations.size() > kMaxViolations) details.violations.resize(kMaxViolations);
  return base::WithDetails(absl::InvalidArgumentError(message), details);
}

}  // namespace tao::launch
