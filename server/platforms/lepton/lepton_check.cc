// LeptonPlatform's check: what a start needs of the daemon's environment and of the workspace.

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <algorithm>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/lepton/lepton_platform.h"
#include "server/platforms/lepton/lepton_render.h"
#include "server/platforms/preflight.h"

namespace tao::platforms {
namespace {

using Outcome = CheckItem::Outcome;

// A service should outlive the day on which it is started, and be stopped after it.
constexpr absl::Duration kShortTokenLife = absl::Hours(24);

// For one answer, tries again included: somebody waits for the check.
constexpr absl::Duration kPatience = absl::Seconds(8);

std::string ValueOf(const std::map<std::string, std::string>& map, const std::string& name) {
  const auto found = map.find(name);
  return found == map.end() ? "" : found->second;
}

bool IsNameOf(std::string_view text, std::string_view marks) {
  return !text.empty() && text.size() <= 128 &&
         std::all_of(text.begin(), text.end(), [marks](char c) {
           return absl::ascii_isalnum(c) || marks.find(c) != std::string_view::npos;
         });
}

absl::Status CheckMounts(const launch::LaunchPlan& plan) {
  if (plan.mounts.empty()) return absl::OkStatus();
  if (ValueOf(plan.platform_options, "mount-from").empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "lepton has none of this host's files, so %s cannot be mounted from here. Say what has it: "
        "--mount-from node-nfs:VOLUME or node-local (the console shows a node group's volumes), or "
        "start it without --mount and --hf-cache",
        base::Quoted(plan.mounts.front().source)));
  }
  for (const launch::Mount& mount : plan.mounts) {
    if (!mount.read_only) continue;
    return absl::FailedPreconditionError(absl::StrFormat(
        "lepton cannot mount %s read-only; leave out :ro", base::Quoted(mount.source)));
  }
  return absl::OkStatus();
}

absl::Status CheckEnvironmentNames(const launch::LaunchPlan& plan) {
  for (const auto& [name, value] : plan.env) {
    if (!IsReservedLeptonEnv(name)) continue;
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is set by Lepton itself in every container; leave out --env %s", name, name));
  }
  return absl::OkStatus();
}

CheckItem TokenItem(const std::optional<absl::Time>& expiry) {
  if (!expiry.has_value()) return {"token", Outcome::kOk, "is accepted"};
  const std::string when = base::FormatUtc(*expiry);
  if (*expiry - absl::Now() > kShortTokenLife) {
    return {"token", Outcome::kOk, "is accepted until " + when};
  }
  return {"token", Outcome::kWarning,
          absl::StrFormat("the token expires at %s: after that a service runs on, but cannot be "
                          "watched or stopped. Make one with a longer life in the console of DGX "
                          "Cloud Lepton, export LEPTON_AUTH_TOKEN=... and restart the server",
                          when)};
}

}  // namespace

absl::Status NoImagePullSecret(const std::string& name) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "the Lepton workspace has no image pull secret %s, which the image needs. export NGC_KEY=... "
      "and restart the server, which then makes it; or make it in the console (registry nvcr.io, "
      "user $oauthtoken, the NGC key as password)",
      base::Quoted(name)));
}

absl::Status LeptonPlatform::CheckOptions(const std::map<std::string, std::string>& options) const {
  std::vector<base::FieldViolation> violations;
  const auto wrong = [&violations](const std::string& name, std::string description) {
    violations.push_back({"platform_options." + name, std::move(description)});
  };
  for (const auto& [name, value] : options) {
    if (name == "resource-shape" && (!IsNameOf(value, ".-_") || value != base::AsciiLower(value))) {
      wrong(name, absl::StrFormat("is %s, which is no resource shape: those are in lower case, "
                                  "like gpu.2xh100-sxm",
                                  base::Quoted(value)));
    } else if (name == "dedicated-node-group" && !IsNameOf(value, ".-_, ")) {
      wrong(name, absl::StrFormat("is %s, which is no name of a node group", base::Quoted(value)));
    } else if (name == "image-pull-secret" && !IsNameOf(value, ".-_")) {
      wrong(name, absl::StrFormat("is %s, which is no name of a secret", base::Quoted(value)));
    } else if (name == "mount-from" && value != "node-local" &&
               !(value.starts_with("node-nfs:") && IsNameOf(value.substr(9), ".-_"))) {
      wrong(name,
            absl::StrFormat("is %s; write node-nfs:VOLUME or node-local", base::Quoted(value)));
    }
  }
  if (violations.empty()) return absl::OkStatus();
  std::string message;
  for (const base::FieldViolation& each : violations) {
    message +=
        absl::StrFormat("%s%s %s", message.empty() ? "" : "; ", each.field, each.description);
  }
  return base::WithDetails(absl::InvalidArgumentError(message), {.violations = violations});
}

std::vector<CheckItem> LeptonPlatform::Check(const CheckRequest& request, absl::Duration deadline) {
  const absl::Time end = absl::Now() + deadline;
  const auto left = [end] {
    return std::clamp(end - absl::Now(), absl::Milliseconds(1), kPatience);
  };
  std::vector<CheckItem> items;
  // False ends the checks: what comes after would only say the same again.
  const auto add = [&items](std::string_view name, const absl::Status& status,
                            std::string_view found) {
    items.push_back(ItemOf(name, status, found));
    return status.ok();
  };
  const absl::StatusOr<LeptonApi> api = Api();
  if (!add("credentials", api.status(), api.ok() ? "for " + api->workspace().url : "")) {
    return items;
  }
  if (request.plan != nullptr) {
    if (!request.plan->mounts.empty()) {
      add("mounts", CheckMounts(*request.plan), "from " + ValueOf(request.options, "mount-from"));
    }
    const absl::Status names = CheckEnvironmentNames(*request.plan);
    if (!names.ok()) add("environment", names, "");
  }
  const absl::StatusOr<LeptonWorkspaceFacts> facts = AskWorkspace(*api, left(), nullptr);
  if (!add("workspace", facts.status(),
           facts.ok() ? absl::StrFormat("is reached; its services are %s", ToString(facts->family))
                      : "")) {
    return items;
  }
  if (!facts->state.empty() && facts->state != "normal") {
    items.back() = {"workspace", Outcome::kWarning,
                    absl::StrFormat("the workspace is %s, not normal: see the console of DGX Cloud "
                                    "Lepton",
                                    base::Quoted(facts->state))};
  }
  // For the warning only: a token may not be allowed to list tokens.
  const absl::StatusOr<std::string> tokens = Get(*api, "tokens", "/tokens", left());
  items.push_back(
      TokenItem(tokens.ok() ? LeptonTokenExpiry(*tokens, api->workspace().token) : std::nullopt));
  const absl::StatusOr<std::vector<std::string>> gpu_ids = GpuIds(request.gpus);
  if (!gpu_ids.ok()) add("gpu", gpu_ids.status(), "");

  const std::string groups = ValueOf(request.options, "dedicated-node-group");
  absl::StatusOr<std::vector<std::string>> ids = std::vector<std::string>();
  if (!groups.empty()) {
    ids = NodeGroupIds(*api, groups, left(), nullptr);
    if (!add("node-group", ids.status(), "has " + groups)) return items;
  }
  const absl::StatusOr<std::string> shape = ShapeOn(
      *api, *ids, ValueOf(request.options, "resource-shape"), request.gpus, left(), nullptr);
  add("shape", shape.status(), shape.ok() ? *shape : "");
  items.push_back(ImagePullSecretItem(*api, request, left()));
  return items;
}

CheckItem LeptonPlatform::ImagePullSecretItem(const LeptonApi& api, const CheckRequest& request,
                                              absl::Duration timeout) const {
  constexpr std::string_view kItem = "image-pull-secret";
  const std::string image = request.plan == nullptr ? "nvcr.io/" : request.plan->image;
  const std::string name = LeptonImagePullSecretOf(image, request.options);
  if (name.empty()) {
    return ItemOf(kItem, absl::OkStatus(), "none is needed, the image is not on nvcr.io");
  }
  const absl::StatusOr<std::vector<std::string>> names = ImagePullSecrets(api, timeout, nullptr);
  if (!names.ok()) return ItemOf(kItem, names.status(), "");
  if (std::find(names->begin(), names->end(), name) != names->end()) {
    return ItemOf(kItem, absl::OkStatus(), "has " + name);
  }
  if (!config_.environment("NGC_KEY").value_or("").empty()) {
    return ItemOf(kItem, absl::OkStatus(), name + " will be made, with NGC_KEY");
  }
  CheckItem item = ItemOf(kItem, NoImagePullSecret(name), "");
  // Of any start: one with another image needs none.
  if (request.plan == nullptr) item.outcome = Outcome::kWarning;
  return item;
}

}  // namespace tao::platforms
