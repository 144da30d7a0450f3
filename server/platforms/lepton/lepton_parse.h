#pragma once

// Pure: what Lepton's API answers -> our types. Both families of calls say the same things in other
// places; what is not there is empty, never guessed.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/secret.h"
#include "server/platforms/lepton/lepton_render.h"

namespace tao::platforms {

// GET (workspace).
struct LeptonWorkspaceFacts {
  LeptonFamily family = LeptonFamily::kDeployments;  // unless the feature is literally true
  std::string state;                                 // "normal"
};
absl::StatusOr<LeptonWorkspaceFacts> ParseLeptonWorkspace(std::string_view body);

// The moment at which the token that begins and ends like a masked one of `body` (GET tokens) ends;
// nullopt: never, or it is not among them.
std::optional<absl::Time> LeptonTokenExpiry(std::string_view body, const base::Secret& token);

struct LeptonNodeGroup {
  std::string id, name;
  std::vector<std::string> volumes;
};
absl::StatusOr<std::vector<LeptonNodeGroup>> ParseLeptonNodeGroups(std::string_view body);

struct LeptonShape {
  std::string id;  // "gpu.2xh100-sxm"
  std::string accelerator_type;
  int accelerator_num = 0;
  double memory_mb = 0;
  bool for_endpoints = true;
};
absl::StatusOr<std::vector<LeptonShape>> ParseLeptonShapes(std::string_view body);

// Names in GET usersecrets (strings, or objects with a name) and GET imagepullsecrets.
absl::StatusOr<std::vector<std::string>> ParseLeptonSecretNames(std::string_view body);

// GET of one deployment or endpoint.
struct LeptonEndpoint {
  std::string name;
  std::string state;  // Lepton's word
  std::string phase;  // legacy: what "Not Ready" hides; empty: not said
  std::string url;    // empty: none yet
  std::optional<int> min_replicas;
  bool deleted = false;  // metadata.deleted_at is set
};
absl::StatusOr<LeptonEndpoint> ParseLeptonEndpoint(std::string_view body);

// Why a replica is not ready: GET readiness of the legacy family, or the replicas' own issue.
struct LeptonIssue {
  std::string replica, reason, message;
};
struct LeptonReplica {
  std::string id;
  std::optional<LeptonIssue> issue;  // none: it is ready
};
std::vector<LeptonIssue> ParseLeptonReadiness(std::string_view body);
absl::StatusOr<std::vector<LeptonReplica>> ParseLeptonReplicas(std::string_view body);

// The last end of a container: GET termination. nullopt: none is told.
struct LeptonTermination {
  std::optional<int> exit_code;
  std::string text;  // "exit status 137: out of memory (OOMKilled)"
};
std::optional<LeptonTermination> ParseLeptonTermination(std::string_view body);

// GET logs, oldest first.
absl::StatusOr<std::vector<std::string>> ParseLeptonLogs(std::string_view body);

// https://HOST[:PORT][/PATH]. FailedPrecondition for anything else: the token is sent there.
struct LeptonUrl {
  std::string host;
  int port = 443;
  std::string path;  // without a slash at its end
};
absl::StatusOr<LeptonUrl> ParseLeptonUrl(std::string_view url);

// What a call is about; the same status may mean another thing.
enum class LeptonSubject { kWorkspace, kEndpoint, kImagePullSecret, kOther };

// One row: an HTTP status and a text of Lepton, lower case, what they mean and what to do.
struct LeptonFailureRule {
  int status;             // 500 stands for 500 to 599, 300 for 300 to 399; 0: any
  std::string_view text;  // in the message; empty: any
  LeptonSubject subject;  // kOther: any
  absl::StatusCode code;
  std::string_view advice;  // a sentence without its full stop; may be empty
};
const std::vector<LeptonFailureRule>& LeptonFailureRules();

// The error for an answer `status` with `body`; `what` says what failed. Unauthenticated,
// PermissionDenied, NotFound and Unavailable are 401, 403, 404, and 429 or 5xx.
absl::Status LeptonError(std::string_view what, int status, std::string_view body,
                         LeptonSubject subject = LeptonSubject::kOther);

}  // namespace tao::platforms
