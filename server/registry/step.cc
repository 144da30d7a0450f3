#include "server/registry/step.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <csignal>

#include "server/base/strings.h"

namespace tao::registry {
namespace {

struct StepName {
  Step step;
  std::string_view name;
  std::string_view platforms = {};  // a space between two; empty: all
};

constexpr StepName kStepNames[] = {
    {Step::kNone, "none"},
    {Step::kAccept, "accept"},
    {Step::kCreateInstance, "create-instance", "brev"},
    {Step::kPullImage, "pull-image", "local-docker brev"},
    {Step::kCreateNetwork, "create-network", "local-docker"},
    {Step::kCreateSecret, "create-secret", "kubernetes lepton"},
    {Step::kRunContainer, "run-container", "local-docker brev"},
    {Step::kSpawnProcess, "spawn-process", "local-process"},
    {Step::kSubmitJob, "submit-job", "slurm kubernetes lepton"},
    {Step::kCreateService, "create-service", "kubernetes"},
    {Step::kOpenTunnel, "open-tunnel", "slurm kubernetes brev local-docker"},
    {Step::kConfirm, "confirm"},
    {Step::kPublish, "publish"},
    {Step::kDrain, "drain"},
    {Step::kSaveLogs, "save-logs"},
    {Step::kCloseTunnel, "close-tunnel", "slurm kubernetes brev local-docker"},
    {Step::kEndJob, "end-job"},
    {Step::kRemoveContainer, "remove-container", "local-docker brev"},
    {Step::kRemoveNetwork, "remove-network", "local-docker"},
    {Step::kRemoveService, "remove-service", "kubernetes"},
    {Step::kRemoveSecret, "remove-secret", "kubernetes lepton"},
    {Step::kRemoveInstance, "remove-instance", "brev"},
    {Step::kUnpublish, "unpublish"},
    {Step::kRelease, "release"},
};

constexpr Operation kOperations[] = {Operation::kNone, Operation::kStart, Operation::kStop,
                                     Operation::kFail};

struct FaultPoint {
  Operation operation = Operation::kNone;
  Step step = Step::kNone;
  bool done = false;
  friend bool operator==(const FaultPoint&, const FaultPoint&) = default;
};

// Written once, before the first thread.
FaultPoint armed_point;

std::string NameOf(const FaultPoint& point) {
  return absl::StrFormat("%s.%s%s", ToString(point.operation), ToString(point.step),
                         point.done ? ".done" : "");
}

std::vector<FaultPoint> AllFaultPoints() {
  std::vector<FaultPoint> points;
  for (const Operation operation : kOperations) {
    for (const Step step : StepsOf(operation)) {
      points.push_back({operation, step, /*done=*/false});
      points.push_back({operation, step, /*done=*/true});
    }
  }
  return points;
}

}  // namespace

std::string_view ToString(Operation operation) {
  switch (operation) {
    case Operation::kNone:
      return "none";
    case Operation::kStart:
      return "start";
    case Operation::kStop:
      return "stop";
    case Operation::kFail:
      return "fail";
  }
  return "unknown";
}

std::optional<Operation> OperationNamed(std::string_view name) {
  for (const Operation operation : kOperations) {
    if (ToString(operation) == name) return operation;
  }
  return std::nullopt;
}

std::string_view ToString(Step step) {
  for (const StepName& row : kStepNames) {
    if (row.step == step) return row.name;
  }
  return "unknown";
}

std::optional<Step> StepNamed(std::string_view name) {
  for (const StepName& row : kStepNames) {
    if (row.name == name) return row.step;
  }
  return std::nullopt;
}

const std::vector<Step>& StepsOf(Operation operation) {
  static const auto* const none = new std::vector<Step>;
  static const auto* const start = new std::vector<Step>{
      Step::kAccept,        Step::kCreateInstance, Step::kPullImage,    Step::kCreateNetwork,
      Step::kCreateSecret,  Step::kRunContainer,   Step::kSpawnProcess, Step::kSubmitJob,
      Step::kCreateService, Step::kOpenTunnel,     Step::kConfirm,      Step::kPublish,
  };
  static const auto* const stop = new std::vector<Step>{
      Step::kDrain,         Step::kCloseTunnel,   Step::kEndJob,       Step::kRemoveContainer,
      Step::kRemoveNetwork, Step::kRemoveService, Step::kRemoveSecret, Step::kRemoveInstance,
      Step::kUnpublish,     Step::kRelease,
  };
  static const auto* const fail = new std::vector<Step>{
      Step::kSaveLogs,      Step::kCloseTunnel,   Step::kEndJob,       Step::kRemoveContainer,
      Step::kRemoveNetwork, Step::kRemoveService, Step::kRemoveSecret, Step::kRemoveInstance,
      Step::kUnpublish,     Step::kRelease,
  };
  switch (operation) {
    case Operation::kNone:
      return *none;
    case Operation::kStart:
      return *start;
    case Operation::kStop:
      return *stop;
    case Operation::kFail:
      return *fail;
  }
  return *none;
}

bool HasStep(Operation operation, Step step) {
  for (const Step known : StepsOf(operation)) {
    if (known == step) return true;
  }
  return false;
}

std::vector<std::string> FaultPointNames() {
  std::vector<std::string> names;
  for (const FaultPoint& point : AllFaultPoints()) names.push_back(NameOf(point));
  return names;
}

std::string_view PlatformsOf(Step step) {
  for (const StepName& row : kStepNames) {
    if (row.step == step) return row.platforms;
  }
  return {};
}

std::string FaultPointList() {
  std::string list;
  for (const FaultPoint& point : AllFaultPoints()) {
    const std::string_view platforms = PlatformsOf(point.step);
    list += absl::StrFormat("%s%s%s\n", NameOf(point), platforms.empty() ? "" : " ", platforms);
  }
  return list;
}

absl::Status ArmFaultPoint(std::string_view name) {
  for (const FaultPoint& point : AllFaultPoints()) {
    if (NameOf(point) != name) continue;
    armed_point = point;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("fault point %s does not exist; choose one of: %s", base::Quoted(name),
                      absl::StrJoin(FaultPointNames(), ", ")));
}

void HitFaultPoint(Operation operation, Step step, bool done) {
  if (step == Step::kNone || armed_point != FaultPoint{operation, step, done}) return;
  raise(SIGKILL);
}

}  // namespace tao::registry
