// What BrevPlatform says of a job that runs: from looks that all jobs share, one at brev's list of
// instances and one at the containers of each instance.

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/brev/brev_platform.h"

namespace tao::platforms {
namespace {

using Instances = std::vector<BrevInstance>;
using Containers = std::vector<ContainerFacts>;

// An answer that did not come is never an answer.
absl::Status CouldNotAsk(const absl::Status& status) {
  return absl::UnavailableError(std::string(base::ToStd(status.message())));
}

}  // namespace

std::shared_ptr<SharedLook<Containers>> BrevPlatform::LookOn(const std::string& instance_name) {
  const base::MutexLock lock(looks_mutex_);
  std::shared_ptr<SharedLook<Containers>>& look = looks_[instance_name];
  if (look == nullptr) {
    look = std::make_shared<SharedLook<Containers>>(
        absl::StrFormat("instance %s", base::Quoted(instance_name)),
        [this, instance_name](const base::CancelToken& cancel) -> absl::StatusOr<Containers> {
          const BrevInstanceShell shell = ShellOf(instance_name);
          absl::StatusOr<Containers> all =
              shell.InspectOurs(config_.daemon_id, config_.look_limit, &cancel);
          // ssh's configuration may be older than the instance, or than its address.
          if (all.ok() || !cli_.Refresh(config_.look_limit, &cancel).ok()) return all;
          return shell.InspectOurs(config_.daemon_id, config_.look_limit, &cancel);
        },
        config_.looks);
  }
  return look;
}

void BrevPlatform::ForgetLook(const std::string& instance_name) {
  std::shared_ptr<SharedLook<Containers>> last;  // ends without the mutex
  const base::MutexLock lock(looks_mutex_);
  const auto found = looks_.find(instance_name);
  if (found == looks_.end()) return;
  last = std::move(found->second);
  looks_.erase(found);
}

absl::StatusOr<PlatformState> BrevPlatform::Observe(const PlatformJob& job) {
  const BrevState state = ToBrevState(job.driver_state);
  const std::string& wanted = state.instance_id.empty() ? state.instance_name : state.instance_id;
  const auto all = instances_.Get(job.job_id, [&wanted](const Instances& listed) {
    const absl::StatusOr<std::optional<BrevInstance>> found = FindInstance(listed, wanted);
    return found.ok() && found->has_value() && UseOf(**found) == InstanceUse::kUsable;
  });
  if (!all.ok()) return CouldNotAsk(all.status());
  const absl::StatusOr<std::optional<BrevInstance>> instance = FindInstance(**all, wanted);
  if (!instance.ok()) return CouldNotAsk(instance.status());
  if (!instance->has_value()) {
    return absl::UnavailableError(absl::StrFormat(
        "brev does not list instance %s of service %s: it was deleted, or brev is logged in as "
        "somebody else or works in another organisation than when it was started (brev ls orgs)",
        base::Quoted(state.instance_name), job.job_id));
  }
  ASSIGN_OR_RETURN(std::optional<PlatformState> known, StateOnInstance(**instance));
  if (known.has_value()) return *std::move(known);
  const auto ours = [this, &job](const Containers& containers) {
    return std::find_if(containers.begin(), containers.end(), [&](const ContainerFacts& each) {
      return each.name == job.job_id && IsOurs(each, job.job_id, /*foreign=*/false);
    });
  };
  const auto there =
      LookOn((*instance)->name)->Get(job.job_id, [&ours](const Containers& containers) {
        const auto found = ours(containers);
        return found != containers.end() && found->status == "running";
      });
  if (!there.ok()) return CouldNotAsk(there.status());
  const auto found = ours(**there);
  if (found == (*there)->end()) {
    return PlatformState{.state = PlatformState::State::kGone, .detail = "", .exit_code = {}};
  }
  if (found->status == "removing") {
    return absl::UnavailableError(absl::StrFormat("container %s is being removed", job.job_id));
  }
  return ToPlatformState(*found);
}

}  // namespace tao::platforms
