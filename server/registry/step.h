#pragma once

// The one table of the steps of Start, Stop and the clean-up after FAILED. Each step is journaled
// before it is done, and each has two fault points, compiled in always: `start.run-container`
// (journaled, not yet done) and `start.run-container.done` (done, nothing journaled since).
// `--fault-point NAME` kills the process there with SIGKILL.

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tao::registry {

enum class Operation { kNone, kStart, kStop, kFail };
std::string_view ToString(Operation operation);  // "none", "start", "stop" or "fail"
// nullopt when there is no such name.
std::optional<Operation> OperationNamed(std::string_view name);

enum class Step {
  kNone,
  // Start
  kAccept,          // the record with its leases is durable; the RPC answers after it
  kCreateInstance,  // brev
  kPullImage,       // local-docker, brev
  kCreateNetwork,   // local-docker
  kCreateSecret,    // kubernetes, lepton
  kRunContainer,    // local-docker, brev
  kSpawnProcess,    // local-process
  kSubmitJob,       // slurm's job, kubernetes' Job, lepton's endpoint
  kCreateService,   // kubernetes
  kOpenTunnel,      // slurm, kubernetes (port-forward), brev
  kConfirm,         // the platform says it runs: started_at, host_url, phase STARTING
  kPublish,         // the registry file carries the entry
  // Stop
  kDrain,            // DRAINING is durable; exchanges in flight may end
  kSaveLogs,         // the last lines are kept (after FAILED alone)
  kCloseTunnel,      // slurm, kubernetes, brev
  kEndJob,           // the platform is told to stop it
  kRemoveContainer,  // local-docker, brev: what is left is removed
  kRemoveNetwork,    // local-docker: our network, when its last service is gone
  kRemoveService,    // kubernetes
  kRemoveSecret,     // kubernetes
  kRemoveInstance,   // brev: the instance that Start created
  kUnpublish,        // the registry file no longer carries the entry
  kRelease,          // port and GPU are free again
};

std::string_view ToString(Step step);  // "run-container", ...; "none"
// nullopt when there is no such name.
std::optional<Step> StepNamed(std::string_view name);

// The steps of `operation` in the order they are done; each platform leaves out what it has no use
// for. Steps that are not listed are refused by the journal.
const std::vector<Step>& StepsOf(Operation operation);
bool HasStep(Operation operation, Step step);
// The platforms that have this step, a space between two ("local-docker brev"); empty: all have.
std::string_view PlatformsOf(Step step);

// Every name that --fault-point accepts, in the table's order.
std::vector<std::string> FaultPointNames();
// The same for --list-fault-points: a line each, with the platforms that reach it after a space,
// where not all do.
std::string FaultPointList();
// Arms one; InvalidArgument lists the names. Call before the first thread starts.
absl::Status ArmFaultPoint(std::string_view name);
// Called by the journal: kills this process with SIGKILL if the armed point is this one.
void HitFaultPoint(Operation operation, Step step, bool done);

}  // namespace tao::registry
