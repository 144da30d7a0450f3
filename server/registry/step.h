#pragma once

// The one table of the steps of Start, Stop and the clean-up after FAILED. Each step is journaled before
// it is done, and each has two fault points, compiled in always: NAME (journaled, not yet done) and
// NAME.done (done, nothing journaled since). `--fault-point NAME` kills the process there with SIGKILL.

#include <absl/status/status.h>

#include <string>
#include <string_view>
#include <vector>

namespace tao::registry {

enum class Operation { kNone, kStart, kStop, kFail };
std::string_view ToString(Operation operation);

enum class Step {
  kNone,
  // Start
  kAccept,         // the record with its leases is durable; the RPC answers after it
  kPullImage,      // local-docker
  kCreateNetwork,  // local-docker
  kRunContainer,   // local-docker
  kSpawnProcess,   // local-process
  kConfirm,        // the platform says it runs: started_at, host_url, phase STARTING
  kPublish,        // the registry file carries the entry
  // Stop
  kDrain,            // DRAINING is durable; exchanges in flight may end
  kSaveLogs,         // the last lines are kept (also after FAILED)
  kEndJob,           // the platform is told to stop it
  kRemoveContainer,  // local-docker: what is left is removed
  kRemoveNetwork,    // local-docker: our network, when its last service is gone
  kUnpublish,        // the registry file no longer carries the entry
  kRelease,          // port and GPU are free again
};

struct StepRule {
  Step step;
  std::string_view name;  // e.g. "run-container"; also the name of its first fault point
};
const std::vector<StepRule>& StepRules();
std::string_view ToString(Step step);
// kNone when there is no such name.
Step StepNamed(std::string_view name);

// Every name that --fault-point accepts, in the table's order.
std::vector<std::string> FaultPointNames();
// Arms one; InvalidArgument lists the names. Call before the first thread starts.
absl::Status ArmFaultPoint(std::string_view name);
// Called by the journal: kills this process with SIGKILL if the armed point is this one.
void HitFaultPoint(Step step, bool done);

}  // namespace tao::registry
