#pragma once

// Pure: what Lepton's API is sent. Lepton has two families of calls for the same thing, an
// endpoint: a workspace has the one or the other.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/base/secret.h"
#include "server/launch/launch_plan.h"

namespace tao::platforms {

inline constexpr int kLeptonContainerPort = 8080;
// What TAO's tools call the workspace's log-in to nvcr.io.
inline constexpr std::string_view kLeptonImagePullSecret = "tao-image-pull-secret";

enum class LeptonFamily {
  kDeployments,  // legacy
  kEndpoints,    // the workspace's feature enable_new_deployment_api is on
};
// "deployments" or "endpoints": also the first word of the family's paths.
std::string_view ToString(LeptonFamily family);
// The word that names the endpoint in a query of the logs.
std::string_view LogQueryKey(LeptonFamily family);

// `tao-` and the first 28 hex digits: Lepton allows 32 to 36 characters, the first one a letter.
std::string LeptonName(std::string_view job_id);
// Whether an endpoint can have that name; only such a one goes into a path.
bool IsLeptonName(std::string_view name);

// The user secrets of one service end in LeptonSecretSuffix(job_id), and only they do.
std::string LeptonSecretName(std::string_view env_name, std::string_view job_id);
std::string LeptonSecretSuffix(std::string_view job_id);

// Whether `name` is one of those that Lepton sets itself in every container.
bool IsReservedLeptonEnv(std::string_view name);

// "16g" -> 16384; what has no unit is bytes. At least 1.
int64_t MebibytesOf(std::string_view size);

// "/deployments/NAME", or with `rest` "/deployments/NAME/replicas".
std::string LeptonPath(LeptonFamily family, std::string_view name, std::string_view rest = "");

// The shapes that an endpoint can have on those node groups; on any without one.
std::string LeptonShapesPath(const std::vector<std::string>& node_group_ids);

struct LeptonEndpointPlan {
  std::string name;
  std::string resource_shape;
  std::vector<std::string> node_group_ids;
  std::string image_pull_secret;  // empty: none
  // Environment name, name of the user secret that has its value.
  std::vector<std::pair<std::string, std::string>> secret_env;
  base::Secret token;      // what callers of the endpoint must show
  std::string mount_from;  // "node-nfs:VOLUME" or "node-local", for every mount of the plan
};

// The body that creates it. Holds the token: never log it.
std::string RenderLeptonEndpoint(const launch::LaunchPlan& plan, const LeptonEndpointPlan& endpoint,
                                 LeptonFamily family);
// Hold the values.
std::string RenderLeptonUserSecrets(
    const std::vector<std::pair<std::string, base::Secret>>& secrets);
std::string RenderLeptonImagePullSecret(std::string_view name, const base::Secret& ngc_key);

// The newest `limit` lines from `begin` to `end`, in nanoseconds.
std::string LeptonLogQuery(LeptonFamily family, std::string_view name, int64_t begin_ns,
                           int64_t end_ns, int limit);

}  // namespace tao::platforms
