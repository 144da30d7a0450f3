#pragma once

// Pure: what Lepton says of an endpoint -> what that means, and what to do about it.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <string_view>
#include <vector>

#include "server/platforms/lepton/lepton_parse.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

// What it is told to be, before what was seen of it elsewhere.
enum class LeptonLife {
  kPending,   // on its way to ready, or back to it
  kReady,     // the container runs and its port is open; the model may still load
  kEnding,    // stopped, scaled to none, or being deleted: by somebody else
  kError,     // Lepton has given up on it
  kNoAnswer,  // Lepton does not say
};
LeptonLife LifeOf(const LeptonEndpoint& endpoint);
// Ready is kRunning, Error kFailed, ending kGone (nothing runs any more, or soon), pending
// kPending. Unavailable when Lepton does not say.
absl::StatusOr<PlatformState> ToPlatformState(const LeptonEndpoint& endpoint);

// One of Lepton's reasons why a replica is not ready.
struct LeptonIssueRule {
  std::string_view reason;
  std::string_view advice;  // a sentence without its full stop; empty: nothing to be done
};
// The most telling first: what needs somebody to act, before what passes.
const std::vector<LeptonIssueRule>& LeptonIssueRules();

// The most telling of `issues`, for ReportPending: Lepton's word, and what it means. `waited`:
// since the endpoint was created.
struct LeptonWait {
  std::string reason, message;
};
LeptonWait DescribeWait(const LeptonEndpoint& endpoint, const std::vector<LeptonIssue>& issues,
                        absl::Duration waited);

}  // namespace tao::platforms
