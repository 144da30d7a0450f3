#pragma once

// Pure: what was found of a service on the cluster -> its state, and why it does not run yet.

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "server/platforms/kubernetes/kubernetes_options.h"
#include "server/platforms/kubernetes/kubernetes_parse.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

// What its pod is, seen from outside; null when there is none.
const PodView* MainPod(const JobAndPods& objects);

// Unavailable: it is being deleted, or the cluster itself does not know (the node is lost).
absl::StatusOr<PlatformState> ToPlatformState(const JobAndPods& objects);

// Why a service does not run yet.
struct PendingView {
  enum class Kind {
    kWaiting,   // its turn will come: a node, an image
    kTrouble,   // the cluster tries again for ever, and it may be in vain
    kHopeless,  // can never run
  };
  Kind kind = Kind::kWaiting;
  std::string reason;   // the cluster's word: Unschedulable, ImagePullBackOff, ...
  std::string message;  // for people, with advice
  absl::StatusCode code = absl::StatusCode::kFailedPrecondition;  // if it is the end
};

// The object whose events say more than the pod's state does; empty: none.
std::string EventsOf(const JobAndPods& objects);
PendingView ToPendingView(const JobAndPods& objects, const std::vector<EventView>& events);

// OK with what was found: a single usable node that has `count` of the resource.
absl::StatusOr<std::string> FindGpuNode(const std::vector<NodeView>& nodes,
                                        const KubernetesOptions& options, int count);

}  // namespace tao::platforms
